package core

import (
	"slices"
	"strconv"
	"strings"
)

// The most words that RestoreArgs will rearrange; the kernel's audit records of
// longer command lines are cut into pieces that osquery mixes up further.
const maxRestoredWords = 4096

// RestoreArgs repairs the order of a command line from osquery's process_events
// on Linux. osquery keeps the arguments of an audit record sorted by their
// names as text, a0 a1 a10 a11 a2 ..., and then joins them with single spaces,
// so that every command with 11 arguments or more arrives out of order.
//
// The join loses where arguments end, so the repair is not fully decidable: it
// is right when every word is one argument, and harmful when some argument
// contained blanks, since there may then have been fewer than 11 of them and no
// disorder at all. ok says which it is:
//
//   - up to 10 words there were at most 10 arguments: the text is in order, and
//     returned as it is, true;
//   - with more words, none of which shows that it was part of a longer
//     argument, the order is restored and returned, true. That is the usual
//     case, not a proof: "a b c" may still have been one argument.
//   - otherwise the text is returned as it came, false: do not trust its order.
//
// A word shows that it was part of a longer argument by being empty (two blanks
// in a row), by holding white space, quotes or shell syntax, or by following an
// option that takes a program or a message (-c, -e, -m, ...).
func RestoreArgs(cmdline string) (restored string, ok bool) {
	if strings.Count(cmdline, " ") < 10 {
		return cmdline, true
	}
	words := strings.Split(cmdline, " ")
	n := len(words)
	if n > maxRestoredWords {
		return cmdline, false
	}
	for i, word := range words {
		if word == "" || strings.ContainsAny(word, "\t\n\v\f\r\"'`$|;&<>()") {
			return cmdline, false
		}
		// The first two words are where they belong whatever the count; options
		// further along may come from anywhere.
		if i > 0 && takesText(word) {
			return cmdline, false
		}
	}
	ordered := make([]string, n)
	for i, at := range wireOrder(n) {
		ordered[at] = words[i]
	}
	return strings.Join(ordered, " "), true
}

// wireOrder lists the argument numbers 0..n-1 sorted as text, which is how
// osquery orders them.
func wireOrder(n int) []int {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	slices.Sort(names)
	order := make([]int, n)
	for i, name := range names {
		order[i], _ = strconv.Atoi(name)
	}
	return order
}

// takesText reports options whose value is usually a text of several words: a
// program for an interpreter, a message for people.
func takesText(word string) bool {
	switch strings.ToLower(word) {
	case "-c", "-lc", "-ic", "-xc", "-ec", "-e", "-m", "--eval", "--exec", "--execute", "--command", "-command", "--message":
		return true
	}
	return strings.HasPrefix(word, "--message=") || strings.HasPrefix(word, "--command=")
}

func containsFold(s, sub string) bool {
	return strings.Contains(strings.ToLower(s), sub)
}
