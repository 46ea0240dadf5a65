package score

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

func TestRaise(t *testing.T) {
	w := DefaultWeights()
	base := Sum(sigma.Low, "a listing", []Factor{{Name: "elevated"}}, w)
	if got := Raise(base, nil, w); got.Score != base.Score || len(got.Reasons) != len(base.Reasons) {
		t.Errorf("nothing added: %d, was %d", got.Score, base.Score)
	}
	one := Raise(base, []Factor{{Name: "install_after_discovery", Evidence: "x"}}, w)
	if want := Sum(sigma.Low, "a listing", []Factor{{Name: "elevated"}, {Name: "install_after_discovery"}}, w); abs(one.Score-want.Score) > 1 {
		t.Errorf("raised to %d, summed %d", one.Score, want.Score)
	}
	// A family counts its strongest in full and the rest at a third, whether they come
	// at once or one after the other.
	two := Raise(base, []Factor{{Name: "account_change"}, {Name: "install_after_discovery"}}, w)
	if last := two.Reasons[len(two.Reasons)-1]; last.Factor != "account_change" || last.Weight > w["account_change"]/2.9 {
		t.Errorf("the weaker of a family: %+v", last)
	}
	again := Raise(one, []Factor{{Name: "account_change"}}, w)
	if again.Score != two.Score {
		t.Errorf("one after the other %d, at once %d", again.Score, two.Score)
	}
	if got := Raise(base, []Factor{{Name: "no_such_factor"}}, w); got.Score != base.Score {
		t.Errorf("an unknown factor: %d", got.Score)
	}
	if got := Raise(Verdict{}, []Factor{{Name: "ioc_match"}}, w); got.Severity == "" || got.Score > 100 {
		t.Errorf("an empty verdict: %+v", got)
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
