package repl

import (
	"slices"
	"strings"
	"unicode"
)

// keywords are the words of SQL that are worth completing.
const keywords = "AND AS ASC BETWEEN BY CASE CAST COLLATE COUNT CREATE CROSS DESC DISTINCT DROP ELSE END ESCAPE " +
	"EXCEPT EXISTS EXPLAIN FROM GLOB GROUP HAVING IN INNER INTERSECT IS JOIN LEFT LIKE LIMIT MATERIALIZED MAX MIN NOT " +
	"NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION PLAN PRAGMA QUERY RECURSIVE REGEXP SELECT SUM TABLE TEMP THEN " +
	"UNION USING VALUES VIEW WHEN WHERE WITH"

// functions are the SQL functions worth completing.
const functions = "avg coalesce concat concat_ws date datetime group_concat ifnull in_cidr_block inet_aton json_each " +
	"json_extract json_group_array length lower regex_match regex_split replace round sha256 split strftime substr " +
	"to_base64 total trim typeof upper"

// Completer completes the word before the cursor: commands and their words,
// tables, columns of the tables that the line names (of all when it names none),
// keywords and functions.
type Completer struct {
	DB    DB
	Modes []string
}

// Complete takes a line and the cursor's place in characters, and returns what
// is before the word, what the word may become (sorted), and what is after the
// cursor.
func (c Completer) Complete(line string, pos int) (head string, words []string, tail string) {
	runes := []rune(line)
	pos = min(max(pos, 0), len(runes))
	start := pos
	for start > 0 && wordRune(runes[start-1]) {
		start--
	}
	head, tail = string(runes[:start]), string(runes[pos:])
	prefix := string(runes[start:pos])

	if strings.HasPrefix(strings.TrimSpace(line), ".") {
		return head, c.command(strings.Fields(head), prefix), tail
	}
	// "t.co": the word is what follows the dot.
	if dot := strings.LastIndexByte(prefix, '.'); dot >= 0 {
		owner := prefix[:dot]
		cols := c.columns([]string{owner})
		if len(cols) == 0 {
			cols = c.columns(c.mentioned(line)) // an alias, probably
		}
		return head + prefix[:dot+1], match(cols, prefix[dot+1:]), tail
	}
	if prefix == "" {
		return head, nil, tail
	}
	all := slices.Clone(c.DB.Tables())
	all = append(all, c.columns(c.mentioned(line))...)
	all = append(all, strings.Fields(functions)...)
	kw := keywords
	if unicode.IsLower([]rune(prefix)[0]) {
		kw = strings.ToLower(kw)
	}
	all = append(all, strings.Fields(kw)...)
	return head, match(all, prefix), tail
}

// command completes the words of a dot-command.
func (c Completer) command(before []string, prefix string) []string {
	if len(before) == 0 {
		var names []string
		for _, h := range commandHelp() {
			name, _, _ := strings.Cut(h[0], " ")
			names = append(names, name)
		}
		return match(append(names, ".quit"), prefix)
	}
	if len(before) > 1 {
		return nil
	}
	switch before[0] {
	case ".schema", ".tables":
		return match(c.DB.Tables(), prefix)
	case ".mode":
		return match(c.Modes, prefix)
	case ".timer":
		return match([]string{"on", "off"}, prefix)
	}
	return nil
}

// mentioned are the tables whose names are in the line, or else all.
func (c Completer) mentioned(line string) []string {
	var names []string
	fields := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return !wordRune(r) || r == '.' })
	for _, t := range c.DB.Tables() {
		if slices.Contains(fields, strings.ToLower(t)) {
			names = append(names, t)
		}
	}
	if len(names) == 0 {
		return c.DB.Tables()
	}
	return names
}

func (c Completer) columns(tables []string) []string {
	var cols []string
	for _, t := range tables {
		for _, col := range c.DB.Columns(t) {
			cols = append(cols, col.Name)
		}
	}
	return cols
}

func wordRune(r rune) bool {
	return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// match are the words that begin with prefix in any case, sorted, once each.
func match(words []string, prefix string) []string {
	var out []string
	for _, w := range words {
		if len(w) >= len(prefix) && strings.EqualFold(w[:len(prefix)], prefix) {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
