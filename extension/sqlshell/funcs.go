package sqlshell

import (
	"crypto/md5"  //nolint:gosec // the SQL function of osquery's, for looking hashes up
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"zombiezen.com/go/sqlite"
)

// maxPattern bounds a regular expression, in bytes; osquery's is 256.
const maxPattern = 1024

// registerFunctions adds the functions of osquery's that queries over these
// tables use. Regular expressions are Go's (RE2), where osquery's are
// ECMAScript's: no backreferences, and time linear in the text. Unlike in
// osquery there is also the REGEXP operator.
//
// The library (v1.4.2) turns the error of a function into a value that is the
// error's text, so fail is told about it as well.
func registerFunctions(conn *sqlite.Conn, fail func(error)) error {
	text := func(f func(string) string) func(sqlite.Context, []sqlite.Value) (sqlite.Value, error) {
		return func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			if anyNull(args) {
				return sqlite.Value{}, nil
			}
			return sqlite.TextValue(f(args[0].Text())), nil
		}
	}
	refuse := func(sqlite.Context, []sqlite.Value) (sqlite.Value, error) {
		return sqlite.Value{}, errors.New("load_extension is not allowed here")
	}
	funcs := []struct {
		name  string
		nArgs int
		f     func(sqlite.Context, []sqlite.Value) (sqlite.Value, error)
	}{
		{"regexp", 2, sqlRegexp},
		{"regex_match", 3, sqlRegexMatch},
		{"regex_split", 3, sqlRegexSplit},
		{"split", 3, sqlSplit},
		{"inet_aton", 1, sqlInetAton},
		{"in_cidr_block", 2, sqlInCIDRBlock},
		{"to_base64", 1, text(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })},
		{"from_base64", 1, text(fromBase64)},
		{"md5", 1, text(func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) })},   //nolint:gosec // see above
		{"sha1", 1, text(func(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) })}, //nolint:gosec // see above
		{"sha256", 1, text(func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) })},
		{"load_extension", 1, refuse},
		{"load_extension", 2, refuse},
	}
	for _, f := range funcs {
		err := conn.CreateFunction(f.name, &sqlite.FunctionImpl{
			NArgs: f.nArgs,
			Scalar: func(ctx sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
				v, err := f.f(ctx, args)
				if err != nil {
					fail(err)
					return sqlite.Value{}, nil
				}
				return v, nil
			},
			Deterministic: true,
			AllowIndirect: true,
		})
		if err != nil {
			return fmt.Errorf("register SQL function %s: %w", f.name, err)
		}
	}
	return nil
}

func anyNull(args []sqlite.Value) bool {
	for i := range args {
		if args[i].Type() == sqlite.TypeNull {
			return true
		}
	}
	return false
}

// pattern compiles the argument once for all rows of a statement.
func pattern(ctx sqlite.Context, args []sqlite.Value, i int) (*regexp.Regexp, error) {
	if re, ok := ctx.AuxData(i).(*regexp.Regexp); ok {
		return re, nil
	}
	expr := args[i].Text()
	if len(expr) > maxPattern {
		return nil, fmt.Errorf("regular expression too big: %d bytes, at most %d", len(expr), maxPattern)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("regular expression: %s", strings.ReplaceAll(err.Error(), "\x00", `\x00`))
	}
	ctx.SetAuxData(i, re)
	return re, nil
}

// sqlRegexp is the operator X REGEXP Y, which SQLite calls as regexp(Y, X).
func sqlRegexp(ctx sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	re, err := pattern(ctx, args, 0)
	if err != nil {
		return sqlite.Value{}, err
	}
	if re.MatchString(args[1].Text()) {
		return sqlite.IntegerValue(1), nil
	}
	return sqlite.IntegerValue(0), nil
}

// sqlRegexMatch is regex_match(TEXT, PATTERN, GROUP): the group's text of the
// first match, NULL without a match or such a group.
func sqlRegexMatch(ctx sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	re, err := pattern(ctx, args, 1)
	if err != nil {
		return sqlite.Value{}, err
	}
	return pick(re.FindStringSubmatch(args[0].Text()), args[2]), nil
}

// sqlRegexSplit is regex_split(TEXT, PATTERN, INDEX).
func sqlRegexSplit(ctx sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	if args[1].Text() == "" {
		return sqlite.Value{}, errors.New("regex_split: the pattern is empty")
	}
	re, err := pattern(ctx, args, 1)
	if err != nil {
		return sqlite.Value{}, err
	}
	return pick(re.Split(args[0].Text(), -1), args[2]), nil
}

// sqlSplit is split(TEXT, CHARACTERS, INDEX): the text cut at any of the
// characters; empty parts do not count, the others are trimmed.
func sqlSplit(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	seps := args[1].Text()
	if seps == "" {
		return sqlite.Value{}, errors.New("split: no characters to split at")
	}
	// Bytes, not runes: what is split may not be UTF-8.
	var parts []string
	s := args[0].Text()
	for len(s) > 0 {
		i := 0
		for i < len(s) && strings.IndexByte(seps, s[i]) < 0 {
			i++
		}
		if i > 0 {
			parts = append(parts, strings.Trim(s[:i], cSpace))
		}
		s = s[min(i+1, len(s)):]
	}
	return pick(parts, args[2]), nil
}

func pick(parts []string, index sqlite.Value) sqlite.Value {
	i := index.Int64()
	if i < 0 || i >= int64(len(parts)) {
		return sqlite.Value{}
	}
	return sqlite.TextValue(parts[i])
}

// sqlInetAton is the number of an IPv4 address, NULL for anything else.
func sqlInetAton(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	addr, err := netip.ParseAddr(args[0].Text())
	if err != nil || !addr.Is4() {
		return sqlite.Value{}, nil
	}
	b := addr.As4()
	return sqlite.IntegerValue(int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])), nil
}

// sqlInCIDRBlock is in_cidr_block(PREFIX, ADDRESS).
func sqlInCIDRBlock(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
	if anyNull(args) {
		return sqlite.Value{}, nil
	}
	prefix, err := netip.ParsePrefix(args[0].Text())
	if err != nil {
		return sqlite.Value{}, fmt.Errorf("in_cidr_block: %q is no network such as 192.0.2.0/24", args[0].Text())
	}
	addr, err := netip.ParseAddr(args[1].Text())
	if err == nil && prefix.Contains(addr.WithZone("")) {
		return sqlite.IntegerValue(1), nil
	}
	return sqlite.IntegerValue(0), nil
}

// fromBase64 decodes as far as the text is base64.
func fromBase64(s string) string {
	s = strings.TrimRight(s, "=")
	out, err := base64.RawStdEncoding.DecodeString(s)
	if err == nil {
		return string(out)
	}
	return ""
}
