package posix

import "strings"

// Fields splits a command line whose argv was joined with blanks, so that its
// quoting is lost: at white space, with no operators and no expansion. A quote
// counts only at the start of a word and only where its partner ends one; any
// other quote is an ordinary character.
func Fields(text string) []string {
	var out []string
	// The furthest place at which a closing quote of each kind was looked for in
	// vain: nothing behind it needs to be looked at again.
	var none [2]bool
	for i := 0; i < len(text); {
		c := text[i]
		if isBlank(c) {
			i++
			continue
		}
		if c == '\'' || c == '"' {
			kind := 0
			if c == '"' {
				kind = 1
			}
			if !none[kind] {
				end := closing(text, i+1, c)
				if end >= 0 {
					out = append(out, text[i+1:end])
					i = end + 1
					continue
				}
				none[kind] = true
			}
		}
		j := i
		for j < len(text) && !isBlank(text[j]) {
			j++
		}
		out = append(out, text[i:j])
		i = j
	}
	return out
}

// closing returns the index of the next q that ends a word, or -1.
func closing(text string, from int, q byte) int {
	for i := from; i < len(text); {
		n := strings.IndexByte(text[i:], q)
		if n < 0 {
			return -1
		}
		i += n
		if i+1 == len(text) || isBlank(text[i+1]) {
			return i
		}
		i++
	}
	return -1
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
