package repl

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// commandHelp lists the dot-commands.
func commandHelp() [][2]string {
	return [][2]string{
		{".exit", "leave (also .quit, exit, quit, Ctrl-D)"},
		{".help", "show this"},
		{".mode MODE", "how results are written"},
		{".schema [TABLE]", "columns of a table, or of all"},
		{".tables [PATTERN]", "names of the tables; a pattern has * and ?, or is part of a name"},
		{".timer on|off", "show how long each run takes"},
	}
}

// examples are statements to begin with.
func examples() []string {
	return []string{
		"SELECT decision, severity, summary FROM service_incidents ORDER BY score DESC LIMIT 10;",
		"SELECT datetime(time, 'unixepoch') AS at, username, cmdline, score FROM service_discovery_events ORDER BY time DESC LIMIT 10;",
		"SELECT name, action, score, attribution FROM service_install_events WHERE score >= 40;",
		"SELECT score, severity, reasons FROM service_discovery_score WHERE cmdline = 'sc query';",
		"SELECT component, state, remedy FROM service_discovery_health WHERE state <> 'ok';",
	}
}

// command splits a line that is a command into its words.
func command(line string) ([]string, bool) {
	words := strings.Fields(strings.TrimRight(strings.TrimSpace(line), ";"))
	if len(words) == 0 {
		return nil, false
	}
	if w := strings.ToLower(words[0]); len(words) == 1 && (w == "exit" || w == "quit") {
		return []string{"." + w}, true
	}
	return words, strings.HasPrefix(words[0], ".")
}

// runCommand runs a command. Its error ends the session.
func (s *shell) runCommand(words []string) error {
	s.In.Remember(strings.Join(words, " "))
	name, args := strings.ToLower(words[0]), words[1:]
	tooMany := func(n int) bool {
		if len(args) > n {
			s.fail("%s takes at most %d words after it: .help lists the commands", name, n)
			return true
		}
		return false
	}
	switch name {
	case ".exit", ".quit":
		return errExit
	case ".help":
		for _, h := range commandHelp() {
			s.print(fmt.Sprintf("%-18s %s", h[0], h[1]))
		}
		s.print("Modes: " + strings.Join(s.Modes, ", "))
		s.print("Tab completes tables, columns and commands; the arrow keys bring back what was typed.")
		s.print("Examples:")
		for _, e := range examples() {
			s.print("  " + e)
		}
	case ".tables":
		if tooMany(1) {
			break
		}
		names, err := s.tables(args)
		switch {
		case err != nil:
			s.fail("pattern %s: %v", s.Visible(args[0]), err)
		case len(names) == 0 && len(args) > 0:
			s.say("No table's name is like %s; .tables lists all.", s.Visible(args[0]))
		}
		for _, n := range names {
			s.print("  => " + s.Visible(n))
		}
	case ".schema":
		if tooMany(1) {
			break
		}
		names := s.DB.Tables()
		if len(args) > 0 {
			names = args
		}
		for _, n := range names {
			schema := s.DB.Schema(n)
			if schema == "" {
				s.fail("there is no table %s: .tables lists them", s.Visible(n))
				continue
			}
			for l := range strings.SplitSeq(schema, "\n") {
				s.print(s.Visible(l))
			}
		}
	case ".mode":
		if len(args) == 0 {
			s.print(s.Mode)
			break
		}
		mode := strings.ToLower(args[0])
		if len(args) > 1 || !slices.Contains(s.Modes, mode) {
			s.fail("there is no mode %s: it is one of %s", s.Visible(strings.Join(args, " ")), strings.Join(s.Modes, ", "))
			break
		}
		s.Mode = mode
	case ".timer":
		switch strings.ToLower(strings.Join(args, " ")) {
		case "on":
			s.timer = true
		case "off":
			s.timer = false
		default:
			s.fail("write .timer on or .timer off")
		}
	default:
		s.fail("there is no command %s: .help lists them", s.Visible(words[0]))
	}
	if s.out.err != nil {
		return fmt.Errorf("write the results: %w", s.out.err)
	}
	return nil
}

// print writes a line of a command's result; the loop looks at out.err.
func (s *shell) print(line string) { _, _ = fmt.Fprintln(s.out, line) }

func (s *shell) tables(args []string) ([]string, error) {
	all := s.DB.Tables()
	if len(args) == 0 {
		return all, nil
	}
	pattern := strings.ToLower(args[0])
	if !strings.ContainsAny(pattern, "*?[%") {
		pattern = "*" + pattern + "*"
	}
	pattern = strings.ReplaceAll(pattern, "%", "*")
	var names []string
	for _, n := range all {
		ok, err := path.Match(pattern, strings.ToLower(n))
		if err != nil {
			return nil, fmt.Errorf("it has * for anything and ? for one character: %w", err)
		}
		if ok {
			names = append(names, n)
		}
	}
	return names, nil
}
