package posix

import "github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"

// marks is a set of dialect marks.
type marks uint16

const (
	mQuoteSplit marks = 1 << iota
	mConcat
	mSubstring
	mVariable
	mIFS
	mEscape
	mEncoded
	mReversed
	mPadding
	// mSlice is a substring taken by position rather than by pattern, which is
	// also reported as Substring.
	mSlice
	// mTame says that what is escaped may be meant as an escape (\n, \2) that lost
	// its quotes.
	mTame
)

// hiding are the marks that count wherever in a command they appear; the others
// are ordinary in arguments and tell something in the program's own word only.
const hiding = mQuoteSplit | mIFS | mEscape | mEncoded | mReversed

var markNames = [...]dialect.Mark{
	dialect.QuoteSplit, dialect.Concat, dialect.Substring, dialect.Variable,
	dialect.IFS, dialect.Escape, dialect.Encoded, dialect.Reversed, dialect.Padding,
}

func (m marks) list() []dialect.Mark {
	if m&mSlice != 0 {
		m |= mSubstring
	}
	var out []dialect.Mark
	for i, name := range markNames {
		if m&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}
