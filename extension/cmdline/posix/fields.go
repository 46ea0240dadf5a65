package posix

import "strings"

// Fields splits a command line whose argv was joined with blanks, so that its
// quoting is lost: at white space, with no operators and no expansion. A quote
// counts only at the start of a word and only where its partner ends one; any
// other quote is an ordinary character.
func Fields(text string) []string {
	var out []string
	f := fieldScanner{text: text}
	for f.next() {
		out = append(out, f.word)
	}
	return out
}

// Tail returns what text has behind its first n fields, as it stands.
func Tail(text string, n int) string {
	f := fieldScanner{text: text}
	for range n {
		if !f.next() {
			return ""
		}
	}
	return strings.TrimLeft(text[f.at:], " \t\n\v\f\r")
}

// Quoted returns the words of a text in which every word that needs it is quoted
// for a shell, as programs write an argv they know. The answer is false for any
// other text, and for one without a quote, which says nothing about its words.
func Quoted(text string) ([]string, bool) {
	if strings.IndexByte(text, '\'') < 0 {
		return nil, false
	}
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isBlank(c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
			continue
		case c == '\'':
			end := strings.IndexByte(text[i+1:], '\'')
			if end < 0 {
				return nil, false
			}
			word.WriteString(text[i+1 : i+1+end])
			i += 1 + end
		case c == '\\' && i+1 < len(text) && text[i+1] == '\'':
			i++
			word.WriteByte(text[i])
		case strings.IndexByte("\"`$;&|<>(){}*?[]#~!\\", c) >= 0:
			return nil, false
		default:
			word.WriteByte(c)
		}
		inWord = true
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, true
}

// fieldScanner walks over the fields of a text.
type fieldScanner struct {
	text string
	at   int    // behind the last field
	word string // the last field
	// barren are the quotes that are known to have no partner ahead: one look
	// for each kind, so that hostile text takes no more than linear time.
	barren [2]bool
}

func (f *fieldScanner) next() bool {
	i := f.at
	for i < len(f.text) && isBlank(f.text[i]) {
		i++
	}
	if i == len(f.text) {
		f.at = i
		return false
	}
	if c := f.text[i]; c == '\'' || c == '"' {
		kind := 0
		if c == '"' {
			kind = 1
		}
		if !f.barren[kind] {
			if end := closing(f.text, i+1, c); end >= 0 {
				f.word, f.at = f.text[i+1:end], end+1
				return true
			}
			f.barren[kind] = true
		}
	}
	j := i
	for j < len(f.text) && !isBlank(f.text[j]) {
		j++
	}
	f.word, f.at = f.text[i:j], j
	return true
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
