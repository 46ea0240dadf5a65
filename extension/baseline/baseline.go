// Package baseline says what is normal for one user and command family on this
// host: a Gamma-Poisson model of the daily count, with exponential forgetting.
// It is pure: state in, state out, no clock and no disk.
package baseline

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// The model's constants.
const (
	// HalfLifeDays is after how many days a day's commands count half.
	HalfLifeDays = 14.0
	// priorDays is how many days of a user's own the others' rate is worth.
	priorDays = 1.0
	// correctedDays is how far back a clock goes at most before the days learned
	// ahead of it were a clock's mistake.
	correctedDays = 7
	// overdispersion widens the predictive distribution: counts of people's
	// commands cluster more than a Poisson process does.
	overdispersion = 0.25
	day            = 86400
	hours          = 168 // of a week
	maxHour        = 15  // what four bits hold
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
	Day   int32
	Today int32
	// Observations is the plain number of commands learned from.
	Observations int32
	Hours        Profile
}

// Profile counts the hours with commands by hour of the week, in four bits each. When one is full
// all are halved: what stays is the shape, the newest weeks first.
type Profile [hours / 2]byte

// Hour is the count of an hour of the week, 0 to 15; see [HourOfWeek].
func (p *Profile) Hour(h int) int {
	if h < 0 || h >= hours {
		return 0
	}
	return int(p[h/2]>>(4*(h%2))) & maxHour
}

func (p *Profile) add(h int) {
	if p.Hour(h) == maxHour {
		for i := range p {
			p[i] = p[i] >> 1 & 0x77
		}
	}
	p[h/2] += 1 << (4 * (h % 2))
}

// Advance closes the days before now: their counts are learned and discounted. A
// clock that goes back a little changes nothing; one that goes back far was wrong
// before, and the current day goes on from there, or nothing would be learned
// until the wrong day comes.
func (s State) Advance(now int64) State {
	today := int32(max(math.MinInt32, min(now/day, math.MaxInt32)))
	if s.Day == 0 {
		s.Day = today
		return s
	}
	n := int64(today) - int64(s.Day)
	if n < -correctedDays {
		s.Day = today
	}
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
	// An hour counts once, however busy it was: who asks every minute would push all
	// other hours out.
	if s.LastSeen == 0 || t/3600 != s.LastSeen/3600 {
		s.Hours.add(HourOfWeek(t))
	}
	if t > s.LastSeen {
		s.LastSeen = t
	}
	if s.Today < math.MaxInt32 {
		s.Today++
	}
	if s.Observations < math.MaxInt32 {
		s.Observations++
	}
	return s
}

// HourOfWeek is 0 for Monday 00:00-01:00 UTC and 167 for Sunday 23:00-24:00.
func HourOfWeek(t int64) int {
	h := (t/3600 + 3*24) % hours // 1970-01-01 was a Thursday
	if h < 0 {
		h += hours
	}
	return int(h)
}

// Predict returns mean and variance of the number of commands in one day. Host is
// the rate a day of the other users of the same family, which fills in while this
// one is cold.
func (s State) Predict(host float64) (mean, variance float64) {
	shape, rate := s.posterior(host)
	mean = shape / rate
	return mean, mean + mean*mean/dispersed(shape)
}

// posterior returns the Gamma parameters: shape and rate in days. What cannot be,
// from a state that was damaged, counts as nothing.
func (s State) posterior(host float64) (shape, rate float64) {
	return sane(s.Count) + sane(host)*priorDays + 0.1, sane(s.Days) + priorDays
}

func sane(x float64) float64 {
	const most = 1e9
	if !(x > 0) { // NaN too
		return 0
	}
	return math.Min(x, most)
}

// dispersed shrinks the shape, so that the predictive variance grows with the
// square of the mean while the mean stays.
func dispersed(shape float64) float64 { return 1 / (1/shape + overdispersion) }

// Tail is the probability of k or more commands in the given number of days if
// nothing had changed: the upper tail of the negative binomial predictive.
func (s State) Tail(k int, days, host float64) float64 {
	if k <= 0 {
		return 1
	}
	shape, rate := s.posterior(host)
	mean, r := shape/rate*sane(days), dispersed(shape)
	// P(X >= k) = I_x(k, r) with x the odds of one more.
	return mathext.RegIncBeta(float64(k), r, mean/(r+mean))
}

// Learned reports whether enough was seen to say that something is unusual.
func (s State) Learned() bool { return s.Days >= 3 }

// Habit is on about how many days before the day of t there were commands, and on
// how many of those at about the same hour (two hours either way) of the same kind
// of day, weekday or weekend. It is counted from the profile: an hour of the week
// can have been used at most once a week since the first command.
func (s State) Habit(t int64) (days, same int) {
	if s.FirstSeen == 0 || t/day <= s.FirstSeen/day {
		return 0, 0
	}
	span := int(t/day - s.FirstSeen/day) // days before today, the first one counted
	first, now := HourOfWeek(s.FirstSeen)/24, HourOfWeek(t)
	weekend := now/24 >= 5
	for d := range 7 {
		most, band := 0, 0
		weeks := (span + 6 - (d-first+7)%7) / 7 // how often this day of the week has been
		for h := range 24 {
			n := s.Hours.Hour(d*24 + h)
			if d == now/24 && int64(s.Day) == t/day && h == now%24 {
				n -= int(min(s.Today, 1)) // today's own does not make it a habit
			}
			most = max(most, n)
			if away := (h - now%24 + 24) % 24; away <= 2 || away >= 22 {
				band = max(band, n)
			}
		}
		days += min(most, weeks)
		if weekend == (d >= 5) {
			same += min(band, weeks)
		}
	}
	return days, same
}
