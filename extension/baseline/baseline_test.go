package baseline_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
)

const day = 86_400

func TestTailIsAProbability(t *testing.T) {
	for _, perDay := range []int{0, 1, 5, 200} {
		var s baseline.State
		for d := range 30 {
			s = s.Advance(int64(1000+d) * day)
			for range perDay {
				s = s.Observe(int64(1000+d)*day + 5)
			}
		}
		s = s.Advance(1031 * day)
		last := 1.0
		for k := 0; k < 5000; k += 7 {
			p := s.Tail(k, 1, 0)
			if math.IsNaN(p) || p < 0 || p > 1 || p > last+1e-9 {
				t.Fatalf("%d a day, k=%d: %v after %v", perDay, k, p, last)
			}
			last = p
		}
	}
}

func TestForgettingHasAHalfLife(t *testing.T) {
	s := baseline.State{Count: 100, Days: 10, Day: 1000}
	if got := s.Advance(1014 * day).Count; math.Abs(got-50) > 0.01 {
		t.Errorf("after 14 quiet days %v of 100 are left", got)
	}
	if got := s.Advance(900 * day); got != s {
		t.Errorf("a clock that went backwards changed %+v to %+v", s, got)
	}
}

func TestABurstIsNotNormalTheNextDay(t *testing.T) {
	var s baseline.State
	for d := range 30 {
		s = s.Observe(int64(1000+d) * day)
	}
	for range 1000 {
		s = s.Observe(1030 * day)
	}
	s = s.Advance(1031 * day)
	if mean, _ := s.Predict(0); mean > 3 {
		t.Errorf("a day of 1,000 teaches a mean of %v", mean)
	}
	if p := s.Tail(500, 1, 0); p > 0.001 {
		t.Errorf("500 on the next day has probability %v", p)
	}
}

// TestNominalRate draws the days of many users from a Gamma-Poisson process and
// counts how often a day is called an anomaly.
func TestNominalRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	poisson := func(mean float64) int {
		k, p, limit := 0, 1.0, math.Exp(-mean)
		for p > limit {
			k++
			p *= rng.Float64()
		}
		return k - 1
	}
	alarms, days := 0, 0
	for range 400 {
		rate := 0.5 + 8*rng.Float64()
		var s baseline.State
		for d := range 90 {
			now := int64(2000+d) * day
			s = s.Advance(now)
			n := poisson(rate * (0.7 + 0.6*rng.Float64()))
			for i := range n {
				if d >= 30 && s.Tail(i+1, 1, 0) < 0.001 {
					alarms++
					break
				}
				s = s.Observe(now)
			}
			if d >= 30 {
				days++
			}
		}
	}
	rate := float64(alarms) / float64(days)
	t.Logf("%d of %d user-days at a nominal 0.001: %.5f", alarms, days, rate)
	if rate > 0.003 {
		t.Errorf("false-positive rate %.5f at a nominal 0.001", rate)
	}
}

func BenchmarkObserveAndTail(b *testing.B) {
	s := baseline.State{Count: 40, Days: 12, Day: 1000, FirstSeen: 1, Observations: 40}
	b.ReportAllocs()
	for b.Loop() {
		s = s.Observe(1000 * day)
		s.Tail(int(s.Today%50), 1, 1)
	}
}
