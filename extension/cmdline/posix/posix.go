// Package posix reads one level of POSIX shell text (sh, bash, ksh) and returns
// the simple commands it runs, with their words as the programs would receive
// them.
//
// Nothing is run. Quoting, and every expansion whose input is a literal of the
// same text, is resolved; what depends on the machine (an unset variable, the
// output of a program, a file name pattern) stays in the word as it was written.
// Text that reaches another shell (sh -c, eval, a here-document) is handed on as
// a word or as Stdin; reading it is the caller's next level.
package posix

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// Options are what is known about the shell that reads the text.
type Options struct {
	// Vars are variables the text finds set. The names "0" to "9" are positional
	// parameters.
	Vars map[string]string
}

// The errors of Parse. What could be read comes with them.
var (
	// ErrTooLong says that text beyond maxText bytes was not read.
	ErrTooLong = errors.New("shell text is too long")
	// ErrNesting says that text nested too deeply was not read.
	ErrNesting = errors.New("shell text is nested too deeply")
	// ErrBudget says that the budget was spent before the end of the text.
	ErrBudget = errors.New("budget for shell text is spent")
	// ErrInternal says that reading the text failed on a fault of the reader.
	ErrInternal = errors.New("internal error on shell text")
)

const (
	maxText = 256 << 10
	// maxOpeners bounds what can nest in one text, whatever its quoting pretends:
	// the parser recurses, at up to 4 KiB of stack a level.
	maxOpeners = 4096
	// maxDepth bounds the recursion of the evaluation.
	maxDepth = 200
	// maxValue bounds one expanded value, in bytes.
	maxValue = 64 << 10
	// maxLoop bounds the rounds of one loop over a literal list, maxRounds those
	// of all loops of a text.
	maxLoop   = 64
	maxRounds = 512
	// maxBrace bounds the words of one brace expansion.
	maxBrace = 256
	// maxCalls bounds calls of functions defined in the text that are followed.
	maxCalls = 32
	// maxSalvage bounds the attempts to go on behind an error, maxRepairs those to
	// read a text as a shell does that goes on all the same.
	maxSalvage = 16
	maxRepairs = 4
)

// Parse returns the simple commands that text runs, in the order in which they
// start, those of a substitution before the command that uses it. Both branches
// of a condition are returned, a loop over a literal list once for each item.
//
// Text that is not a whole shell program gives an error and the commands that
// could be read all the same. Work is charged to b.
func Parse(text string, opts Options, b *dialect.Budget) (list []dialect.Simple, err error) {
	var e *evaluator
	// The parser is others' work and the text hostile.
	defer func() {
		if r := recover(); r != nil {
			list, err = nil, fmt.Errorf("%w: %v", ErrInternal, r)
			if e != nil {
				list = e.out
			}
		}
	}()
	var bad error
	if len(text) > maxText {
		text = text[:maxText]
		bad = ErrTooLong
	}
	if n := safePrefix(text); n < len(text) {
		text = text[:n]
		bad = ErrNesting
	}
	// Parsing itself costs time in proportion to the text.
	if !b.Spend(1+len(text)/256, 0) {
		return nil, ErrBudget
	}
	e = newEvaluator(text, opts, b)
	stmts, perr := program(text)
	e.broken = perr != nil
	e.run(stmts)
	switch {
	case e.err != nil:
		return e.out, e.err
	case bad != nil:
		return e.out, bad
	case perr != nil:
		return e.out, fmt.Errorf("parse shell text: %w", perr)
	}
	return e.out, nil
}

// program parses text in the dialects that may understand it, most capable
// first, and falls back to whatever statements can be had.
func program(text string) ([]*syntax.Stmt, error) {
	text = comments(text)
	stmts, err := statements(text, syntax.LangBash)
	if err == nil {
		return stmts, nil
	}
	repaired, why := text, err
	for range maxRepairs {
		var ok bool
		if repaired, ok = repair(repaired, why); !ok {
			break
		}
		if stmts, why = statements(repaired, syntax.LangBash); why == nil {
			return stmts, nil
		}
	}
	for _, lang := range []syntax.LangVariant{syntax.LangPOSIX, syntax.LangMirBSDKorn} {
		if other, oerr := statements(text, lang); oerr == nil {
			return other, nil
		}
	}
	return salvage(text), err
}

// statements returns the statements before the first error, and that error.
func statements(text string, lang syntax.LangVariant, more ...syntax.ParserOption) ([]*syntax.Stmt, error) {
	p := syntax.NewParser(append(more, syntax.Variant(lang))...)
	var stmts []*syntax.Stmt
	var first error
	// The loop must not be left at an error: the parser yields once more behind
	// some, and a range that was left panics then.
	for s, err := range p.StmtsSeq(strings.NewReader(text)) {
		if first == nil {
			first = err
		}
		if first == nil {
			stmts = append(stmts, s)
		}
	}
	return stmts, first
}

// comments blanks the backslash at the end of a comment out: the parser joins the next
// line to it, a shell does not.
func comments(text string) string {
	if !strings.Contains(text, "\\\n") || !strings.Contains(text, "#") {
		return text
	}
	ends := []byte(text)
	// What could be read before a mistake is enough.
	f, _ := syntax.NewParser(syntax.KeepComments(true), syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if f == nil {
		return text
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.Comment); ok {
			at := clamp(c.Pos(), len(text))
			if end := strings.IndexByte(text[at:], '\n'); end > 0 && text[at+end-1] == '\\' {
				ends[at+end-1] = ' '
			}
		}
		return true
	})
	return string(ends)
}

// repair mends what keeps the parser, but no shell, from going on, without moving the
// rest of the text: a here-document that the end of the text closes, a list that is set
// for one command, an expansion that fails only when it is reached. It reports whether
// there was such a thing at the error.
func repair(text string, err error) (string, bool) {
	var pe syntax.ParseError
	if !errors.As(err, &pe) || !pe.Pos.IsValid() {
		return text, false
	}
	if rest, ok := strings.CutPrefix(pe.Text, "unclosed here-document "); ok && len(rest) < 256 {
		stop, err := strconv.Unquote(rest)
		return text + "\n" + stop + "\n", err == nil
	}
	at := int(pe.Pos.Offset())
	if at > len(text) {
		return text, false
	}
	blank := func(from, to int) (string, bool) {
		return text[:from] + strings.Repeat(" ", to-from) + text[to:], true
	}
	switch {
	case strings.HasPrefix(pe.Text, "inline variables cannot be arrays"):
		if end := strings.IndexByte(text[at:], ')'); end > 0 {
			return blank(at, at+end+1)
		}
	case strings.HasPrefix(pe.Text, "not a valid parameter expansion operator"), strings.HasPrefix(pe.Text, "invalid parameter name"):
		open, end := strings.LastIndex(text[:at], "${"), strings.IndexByte(text[at:], '}')
		if open >= 0 && end >= 0 {
			return blank(open, at+end+1)
		}
	}
	open := -1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '`':
			if open < 0 {
				open = i
				continue
			}
			if open <= at && at <= i && strings.TrimSpace(text[open+1:i]) != "" {
				return blank(open+1, i)
			}
			open = -1
		}
	}
	return text, false
}

// salvage reads a text that is not a program: it lets the parser supply missing
// closers (a command line that was cut), and behind an error it goes on at the
// next separator. What was skipped is blanked out, so that offsets still hold.
func salvage(text string) []*syntax.Stmt {
	var out []*syntax.Stmt
	from := 0
	for range min(maxSalvage, 1+(1<<19)/(1+len(text))) {
		blanked := strings.Repeat(" ", from) + text[from:]
		stmts, err := statements(blanked, syntax.LangBash, syntax.RecoverErrors(8))
		out = append(out, stmts...)
		if err == nil {
			return out
		}
		at := from
		if len(stmts) > 0 {
			at = max(at, clamp(stmts[len(stmts)-1].End(), len(text)))
		}
		// What begins a line is no part of the mistake before it.
		if pos, ok := errorOffset(err); ok && pos > max(at, from) && pos < len(text) && text[pos-1] == '\n' {
			from = pos
			continue
		}
		// A statement is lost as a whole, so the part of it before the error is
		// tried again without what follows.
		if pos, ok := errorOffset(err); ok && pos > at && pos <= len(text) {
			if cut := strings.LastIndexAny(text[at:pos], ";&|\n"); cut > 0 {
				head := strings.Repeat(" ", at) + text[at:at+cut]
				if part, perr := statements(head, syntax.LangBash, syntax.RecoverErrors(8)); perr == nil {
					out = append(out, part...)
				}
			}
			at = pos
		}
		next := strings.IndexAny(text[min(at, len(text)):], ";&|\n")
		if next < 0 {
			return out
		}
		from = at + next + 1
	}
	return out
}

func errorOffset(err error) (int, bool) {
	var pe syntax.ParseError
	if errors.As(err, &pe) && pe.Pos.IsValid() {
		return int(pe.Pos.Offset()), true
	}
	var le syntax.LangError
	if errors.As(err, &le) && le.Pos.IsValid() {
		return int(le.Pos.Offset()), true
	}
	return 0, false
}

func clamp(p syntax.Pos, limit int) int {
	if !p.IsValid() {
		return 0
	}
	return min(int(p.Offset()), limit)
}

// keywords open a construct that ends with another keyword.
var keywords = [...]string{"if", "while", "until", "for", "case", "select", "time", "coproc", "function", "elif", "let", "else"}

// safePrefix returns how many bytes of text cannot nest deeper than the parser
// is allowed to recurse. It counts openers without pairing them with closers:
// quoting decides what a closer closes, and quoting is what hostile text lies
// about.
func safePrefix(text string) int {
	if len(text) <= maxOpeners {
		return len(text)
	}
	// An operator of arithmetic or a keyword recurses with a fraction of the
	// stack that a bracket takes.
	const whole, part = 8, 1
	left := maxOpeners * whole
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(', '{', '[', '`':
			left -= whole
		case '!', '~', '?', '=', '*', '-', '+', '^':
			left -= part
		case 'i', 'w', 'u', 'f', 'c', 's', 't', 'e', 'l':
			if i > 0 && isWordByte(text[i-1]) {
				continue
			}
			for _, k := range keywords {
				if strings.HasPrefix(text[i:], k) && (i+len(k) == len(text) || !isWordByte(text[i+len(k)])) {
					left -= 2 * part
					break
				}
			}
		}
		if left < 0 {
			return i
		}
	}
	return len(text)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isAlnum(c byte) bool { return isWordByte(c) && c != '_' }
