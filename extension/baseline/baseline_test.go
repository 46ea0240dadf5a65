package baseline_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

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
	if got := s.Advance(999 * day); got != s {
		t.Errorf("a clock that went back a day changed %+v to %+v", s, got)
	}
	// A clock that was years ahead must not stop learning for years.
	s = s.Observe(9000 * day).Advance(1001 * day)
	if s.Day != 1001 {
		t.Errorf("after the clock was put right the current day is %d", s.Day)
	}
}

// TestDamagedStateIsHarmless feeds what a damaged database may hold.
func TestDamagedStateIsHarmless(t *testing.T) {
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, 0, 1e-300, 1e300}
	for _, count := range odd {
		for _, days := range odd {
			for _, host := range odd {
				for _, k := range []int{-1, 0, 1, 3, 1 << 20, math.MaxInt} {
					s := baseline.State{Count: count, Days: days, Day: 1000, Today: math.MaxInt32, Observations: math.MaxInt32}
					s = s.Observe(math.MaxInt64).Observe(math.MinInt64)
					if p := s.Tail(k, host, host); math.IsNaN(p) || p < 0 || p > 1 {
						t.Fatalf("count %v days %v host %v k %d: %v", count, days, host, k, p)
					}
					if mean, variance := s.Predict(host); math.IsNaN(mean) || mean < 0 || variance < mean {
						t.Fatalf("count %v days %v host %v: mean %v variance %v", count, days, host, mean, variance)
					}
				}
			}
		}
	}
}

func TestHourOfWeek(t *testing.T) {
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for hour, at := range map[int]time.Time{0: monday, 1: monday.Add(time.Hour), 167: monday.Add(-time.Second), 62: monday.Add(62*time.Hour + 59*time.Minute)} {
		if got := baseline.HourOfWeek(at.Unix()); got != hour {
			t.Errorf("%v is hour %d, want %d", at, got, hour)
		}
	}
	if h := baseline.HourOfWeek(-1); h < 0 || h > 167 {
		t.Errorf("before 1970: %d", h)
	}
}

// TestProfileKeepsItsShape fills one hour over and over: its neighbours, which share
// bytes with it, must halve and not change otherwise.
func TestProfileKeepsItsShape(t *testing.T) {
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC).Unix()
	var s baseline.State
	const week = 7 * day
	for w := range int64(8) {
		for range 100 { // an hour counts once, however busy
			s = s.Observe(monday + w*week + 3600)
		}
	}
	for w := range int64(15) {
		s = s.Observe(monday + (8+w)*week)
	}
	if a, b := s.Hours.Hour(0), s.Hours.Hour(1); a != 15 || b != 8 {
		t.Fatalf("hours 0 and 1 hold %d and %d, want 15 and 8", a, b)
	}
	s = s.Observe(monday + 23*week)
	if a, b := s.Hours.Hour(0), s.Hours.Hour(1); a != 8 || b != 4 {
		t.Errorf("after the overflow %d and %d, want 8 and 4", a, b)
	}
	if s.Hours.Hour(2)+s.Hours.Hour(167)+s.Hours.Hour(-1)+s.Hours.Hour(168) != 0 {
		t.Error("hours that were never used are counted")
	}
}

// TestSize holds the budget of a key: 128 bytes.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(baseline.State{}); n > 128 {
		t.Errorf("a state takes %d bytes", n)
	}
}

// TestColdUsersLeanOnTheOthers: with nothing of their own, the others' rate decides;
// with a month of their own it hardly matters.
func TestColdUsersLeanOnTheOthers(t *testing.T) {
	var cold, warm baseline.State
	for d := range 30 {
		warm = warm.Observe(int64(1000+d) * day)
	}
	cold, warm = cold.Advance(1030*day), warm.Advance(1030*day)
	quiet, _ := cold.Predict(0)
	busy, _ := cold.Predict(50)
	if quiet > 1 || math.Abs(busy-50) > 1 {
		t.Errorf("a new user is expected to run %.1f and %.1f a day beside others' 0 and 50", quiet, busy)
	}
	if p, q := cold.Tail(40, 1, 0), cold.Tail(40, 1, 50); p > 0.001 || q < 0.1 {
		t.Errorf("40 by a new user have probability %v and %v beside others' 0 and 50", p, q)
	}
	alone, _ := warm.Predict(0)
	among, _ := warm.Predict(50)
	if alone < 0.5 || alone > 1.5 || among > 5 {
		t.Errorf("one a day for a month predicts %.1f and %.1f", alone, among)
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

// TestNominalRate draws the days of many users from processes of several kinds and
// counts how often a day is called an anomaly although nothing changed.
func TestNominalRate(t *testing.T) {
	const nominal = 0.001
	for _, c := range []struct {
		name string
		// shape of the day's own Gamma factor; 0 for none (plain Poisson).
		shape    float64
		weekdays bool
		most     float64
	}{
		{"poisson", 0, false, 3 * nominal},
		{"overdispersed, variance mean+mean^2/8", 8, false, 3 * nominal},
		{"overdispersed, variance mean+mean^2/4", 4, false, 3 * nominal},
		{"weekdays only, mean^2/8", 8, true, 3 * nominal},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		alarms, days := 0, 0
		for range 600 {
			rate := math.Exp(math.Log(0.2) + rng.Float64()*(math.Log(20)-math.Log(0.2)))
			var s baseline.State
			for d := range 90 {
				now := int64(2000+d) * day
				s = s.Advance(now)
				n := 0
				if !c.weekdays || d%7 < 5 {
					mean := rate
					if c.shape > 0 {
						mean *= gamma(rng, c.shape) / c.shape
					}
					n = poisson(rng, mean)
				}
				if d >= 30 {
					days++
					if s.Tail(n, 1, 0) < nominal {
						alarms++
					}
				}
				for range n {
					s = s.Observe(now)
				}
			}
		}
		rate := float64(alarms) / float64(days)
		t.Logf("%s: %d of %d user-days at a nominal %v: %.5f", c.name, alarms, days, nominal, rate)
		if rate > c.most {
			t.Errorf("%s: false-positive rate %.5f, at most %v", c.name, rate, c.most)
		}
	}
}

// TestTenfoldIsNoticed is the other side: a burst of ten times the usual is found.
func TestTenfoldIsNoticed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	found, users := 0, 500
	for range users {
		rate := 1 + 9*rng.Float64()
		var s baseline.State
		for d := range 30 {
			now := int64(2000+d) * day
			s = s.Advance(now)
			for range poisson(rng, rate*gamma(rng, 8)/8) {
				s = s.Observe(now)
			}
		}
		if s.Advance(2030*day).Tail(int(10*rate), 1, 0) < 0.001 {
			found++
		}
	}
	if found < users*9/10 {
		t.Errorf("%d of %d users' tenfold days are found", found, users)
	}
}

func poisson(rng *rand.Rand, mean float64) int {
	k, p, limit := 0, 1.0, math.Exp(-mean)
	for p > limit {
		k++
		p *= rng.Float64()
	}
	return k - 1
}

// gamma draws with scale 1 for whole shapes.
func gamma(rng *rand.Rand, shape float64) float64 {
	x := 0.0
	for range int(shape) {
		x += rng.ExpFloat64()
	}
	return x
}

func BenchmarkObserveAndTail(b *testing.B) {
	s := baseline.State{Count: 40, Days: 12, Day: 1000, FirstSeen: 1, Observations: 40}
	b.ReportAllocs()
	for b.Loop() {
		s = s.Observe(1000 * day)
		s.Tail(int(s.Today%50), 1, 1)
	}
}

func TestHabit(t *testing.T) {
	const monday = 1_700_438_400 // 2023-11-20 00:00 UTC
	at := func(d, h int) int64 { return monday + int64(d)*86400 + int64(h)*3600 }
	var s baseline.State
	if d, same := s.Habit(at(0, 9)); d != 0 || same != 0 {
		t.Errorf("nothing seen: %d %d", d, same)
	}
	for d := range 12 { // ten weekdays at 9 and 10, twice each
		if d%7 < 5 {
			for _, h := range []int{9, 9, 10} {
				s = s.Observe(at(d, h))
			}
		}
	}
	for _, c := range []struct {
		name       string
		t          int64
		days, same int
	}{
		{"the next weekday at ten", at(14, 10), 10, 10},
		{"at eleven", at(14, 11), 10, 10},
		{"at three in the night", at(14, 3), 10, 0},
		{"on a Saturday at ten", at(12, 10), 10, 0},
	} {
		if d, same := s.Habit(c.t); d != c.days || same != c.same {
			t.Errorf("%s: %d days, %d the same; want %d, %d", c.name, d, same, c.days, c.same)
		}
	}
	// A burst on one day is one day, whatever its size.
	var one baseline.State
	for range 500 {
		one = one.Observe(at(0, 9))
	}
	if d, same := one.Habit(at(1, 9)); d != 1 || same != 1 {
		t.Errorf("a burst: %d %d", d, same)
	}
	if d, _ := one.Habit(at(0, 10)); d != 0 {
		t.Errorf("on the first day: %d", d)
	}
}
