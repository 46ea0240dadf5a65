package service

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// heldOut learns from all names but every fifth and returns the model and those.
func heldOut(fold int) (*lists, []string) {
	var train, out []string
	i := 0
	for line := range strings.SplitSeq(namesList, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for n := range strings.FieldsSeq(line) {
			if i++; i%5 == fold {
				out = append(out, n)
				continue
			}
			train = append(train, n)
		}
	}
	for line := range strings.SplitSeq(windowsList, "\n") {
		fields := strings.Split(line, "|")
		if strings.HasPrefix(line, "#") || len(fields) != 3 {
			continue
		}
		if i++; i%5 == fold {
			out = append(out, fields[0])
			continue
		}
		train = append(train, fields[0])
		train = append(train, strings.Fields(fields[2])...)
	}
	return &lists{known: map[string]bool{}, model: learn(train)}, out
}

// TestModelOnUnseenNames holds a fifth of the names back at a time: of names the
// model never saw few may look random, of random ones most must.
func TestModelOnUnseenNames(t *testing.T) {
	seen, wrong := 0, 0
	var l *lists
	for fold := range 5 {
		var out []string
		l, out = heldOut(fold)
		for _, n := range out {
			seen++
			if r := l.randomness(n); r > 0 {
				wrong++
				t.Logf("%s %.2f (%.1f)", n, r, l.model.natural(n))
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	draw := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		return string(b)
	}
	const lower = "abcdefghijklmnopqrstuvwxyz"
	for _, c := range []struct {
		what, alphabet string
		n              int
		atLeast        float64
	}{
		{"8 mixed letters (psexec.py, Metasploit)", lower + strings.ToUpper(lower), 8, 0.9},
		{"16 mixed letters (Metasploit)", lower + strings.ToUpper(lower), 16, 0.99},
		{"6 lower-case letters (getsystem)", lower, 6, 0.6},
		{"8 lower-case letters", lower, 8, 0.75},
		{"7 hexadecimal digits (Cobalt Strike)", "0123456789abcdef", 7, 0.7},
		{"10 letters and digits", lower + "0123456789", 10, 0.9},
	} {
		found := 0
		for range 2000 {
			if l.randomness(draw(c.alphabet, c.n)) > 0 {
				found++
			}
		}
		rate := float64(found) / 2000
		t.Logf("%-42s %.3f", c.what, rate)
		if rate < c.atLeast {
			t.Errorf("%s: %.3f found, at least %.2f must be", c.what, rate, c.atLeast)
		}
	}
	rate := float64(wrong) / float64(seen)
	t.Logf("unseen names called random: %d of %d (%.4f)", wrong, seen, rate)
	if rate > 0.06 {
		t.Errorf("%d of %d unseen names look random", wrong, seen)
	}
}
