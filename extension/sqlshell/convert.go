package sqlshell

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"
	"zombiezen.com/go/sqlite"
)

// convert makes a generator's text a value of the column's type, as osquery
// does: a missing key is the same as empty text; empty text and text that does
// not begin with a number are NULL in a numeric column; INTEGER keeps 32 bits.
func convert(typ table.ColumnType, s string) sqlite.Value {
	switch typ {
	case table.ColumnTypeText, table.ColumnTypeBlob:
		return sqlite.TextValue(s)
	case table.ColumnTypeInteger:
		if n, ok := parseInt(s); ok {
			return sqlite.IntegerValue(int64(int32(n)))
		}
	case table.ColumnTypeBigInt, table.ColumnTypeUnsignedBigInt:
		if n, ok := parseInt(s); ok {
			return sqlite.IntegerValue(n)
		}
	case table.ColumnTypeDouble:
		if f, ok := parseFloat(s); ok {
			return sqlite.FloatValue(f)
		}
	}
	return sqlite.Value{}
}

// cSpace is what C's isspace skips before a number.
const cSpace = " \t\n\v\f\r"

// parseInt reads a number as C's strtoll does in base 0: leading blanks, a
// sign, 0x and 0 prefixes, and whatever follows the digits is ignored.
func parseInt(s string) (int64, bool) {
	s = strings.TrimLeft(s, cSpace)
	neg := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		neg = s[0] == '-'
		s = s[1:]
	}
	base := uint64(10)
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && digit(s[2]) < 16:
		base, s = 16, s[2:]
	case s != "" && s[0] == '0':
		base = 8
	}
	limit := uint64(math.MaxInt64)
	if neg {
		limit++
	}
	var n uint64
	i := 0
	for ; i < len(s); i++ {
		d := digit(s[i])
		if d >= base {
			break
		}
		if n > (limit-d)/base {
			return 0, false
		}
		n = n*base + d
	}
	if i == 0 {
		return 0, false
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

func digit(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case 'a' <= c && c <= 'f':
		return uint64(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return uint64(c-'A') + 10
	}
	return math.MaxUint64
}

// parseFloat reads a number that is the whole text but for leading blanks. Out
// of range is infinite, as C has it.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimLeft(s, cSpace)
	if s == "" || strings.Contains(s, "_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrSyntax) && strings.ContainsAny(s, "xX") && !strings.ContainsAny(s, "pP") {
		f, err = strconv.ParseFloat(s+"p0", 64) // Go wants an exponent
	}
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return f, true
}
