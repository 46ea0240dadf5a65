// Package baseline says what is normal for one user and command family on this
// host: a Gamma-Poisson model of the daily count, with exponential forgetting.
// It is pure: state in, state out, no clock and no disk.
package baseline

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// The model's constants (DESIGN: half-life 14 days, prior strength about 20).
const (
	HalfLifeDays  = 14.0
	PriorStrength = 20.0
	// overdispersion widens the predictive distribution: counts of people's
	// commands cluster more than a Poisson process does.
	overdispersion = 0.25
	day            = 86400
)

// State is what is remembered of one user and command family. The zero value has
// seen nothing.
type State struct {
	FirstSeen int64 // seconds since 1970 UTC
	LastSeen  int64
	// Count and Days are the discounted number of commands and of days, complete
	// days only: what happens today is judged by the days before it.
	Count float64
	Days  float64
	// Day is the current day (days since 1970 UTC) and Today its commands.
	Day   int64
	Today int64
	// Observations is the plain number of commands learned from.
	Observations int64
	// Hours counts commands by hour of the week, Monday 00:00 UTC first.
	Hours [168]uint16
}

// Advance closes the days before now: their counts are learned and discounted. A
// clock that went backwards changes nothing.
func (s State) Advance(now int64) State {
	today := now / day
	if s.Day == 0 {
		s.Day = today
		return s
	}
	n := today - s.Day
	if n <= 0 {
		return s
	}
	keep := math.Exp2(-1 / HalfLifeDays)
	kept := math.Pow(keep, float64(n))
	s.Count = (s.Count + s.learnable()) * kept
	s.Days = s.Days*kept + keep*(1-kept)/(1-keep)
	s.Day, s.Today = today, 0
	return s
}

// learnable caps what one day teaches, so that a burst is not normal tomorrow.
func (s State) learnable() float64 {
	most := 10.0
	if s.Days > 0 {
		most = math.Max(most, 3*s.Count/s.Days)
	}
	return math.Min(float64(s.Today), most)
}

// Observe learns one command at time t.
func (s State) Observe(t int64) State {
	s = s.Advance(t)
	if s.FirstSeen == 0 || t < s.FirstSeen {
		s.FirstSeen = t
	}
	if t > s.LastSeen {
		s.LastSeen = t
	}
	s.Today++
	s.Observations++
	h := HourOfWeek(t)
	if s.Hours[h] < math.MaxUint16 {
		s.Hours[h]++
	}
	return s
}

// HourOfWeek is 0 for Monday 00:00-01:00 UTC and 167 for Sunday 23:00-24:00.
func HourOfWeek(t int64) int {
	h := (t/3600 + 3*24) % 168 // 1970-01-01 was a Thursday
	if h < 0 {
		h += 168
	}
	return int(h)
}

// Predict returns mean and variance of the number of commands in one day under
// the prior: host is the rate a day of the same family over all other users,
// which fills in while this user is cold.
func (s State) Predict(host float64) (mean, variance float64) {
	shape, rate := s.posterior(host)
	mean = shape / rate
	r := 1 / (1/shape + overdispersion)
	return mean, mean + mean*mean/r
}

// posterior returns the Gamma parameters: shape and rate in days.
func (s State) posterior(host float64) (shape, rate float64) {
	const prior = PriorStrength / 20 // days' worth of the host's own rate
	return s.Count + host*prior + 0.1, s.Days + prior
}

// Tail is the probability of k or more commands in the given number of days if
// nothing had changed: the upper tail of the negative binomial predictive.
func (s State) Tail(k int, days, host float64) float64 {
	if k <= 0 {
		return 1
	}
	shape, rate := s.posterior(host)
	// Overdispersion shrinks the shape, so that the predictive variance grows with
	// the square of the mean while the mean stays.
	mean := shape / rate * days
	r := 1 / (1/shape + overdispersion)
	p := r / (r + mean)
	// P(X >= k) = I_{1-p}(k, r)
	return mathext.RegIncBeta(float64(k), r, 1-p)
}

// Learned reports whether enough was seen to say that something is unusual.
func (s State) Learned() bool { return s.Days >= 3 }
