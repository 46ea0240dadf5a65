package attribution

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // Windows and small containers have no time zones of their own.
)

// BusinessHours say when people usually work. What is left out is Monday to Friday
// from 07:00 to 19:00 in the host's own time zone.
type BusinessHours struct {
	// TimeZone is a name such as Europe/Berlin.
	TimeZone string `yaml:"time_zone,omitempty" json:"time_zone,omitempty"`
	// Days are the working days: mon, sat, mon-fri.
	Days []string `yaml:"days,omitempty" json:"days,omitempty"`
	// From and To are times of day such as 07:00 and 19:00. A To before From is the
	// next morning's.
	From string `yaml:"from,omitempty" json:"from,omitempty"`
	To   string `yaml:"to,omitempty" json:"to,omitempty"`
	// Holidays are days off: 2026-12-25, or 12-25 for every year's.
	Holidays []string `yaml:"holidays,omitempty" json:"holidays,omitempty"`
}

// Declared reports whether business hours were configured at all.
func (b *BusinessHours) Declared() bool {
	return b.TimeZone != "" || b.From != "" || b.To != "" || len(b.Days)+len(b.Holidays) > 0
}

const minutesADay = 24 * 60

// weekdays is a set of days, bit 0 is Sunday.
type weekdays uint8

const (
	everyDay weekdays = 1<<7 - 1
	workdays weekdays = 1<<time.Monday | 1<<time.Tuesday | 1<<time.Wednesday | 1<<time.Thursday | 1<<time.Friday
)

func (d weekdays) has(day time.Weekday) bool { return d&(1<<day) != 0 }

// parseDay reads the name of a day, whole or its first three letters.
func parseDay(s string) (time.Weekday, bool) {
	s = strings.TrimSpace(s)
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := d.String(); strings.EqualFold(s, name[:3]) || strings.EqualFold(s, name) {
			return d, true
		}
	}
	return 0, false
}

// parseDays reads days and spans of days; none are all of unset.
func parseDays(list []string, unset weekdays) (weekdays, error) {
	if len(list) == 0 {
		return unset, nil
	}
	var set weekdays
	for _, item := range list {
		from, to, span := strings.Cut(item, "-")
		a, ok := parseDay(from)
		b, ok2 := a, true
		if span {
			b, ok2 = parseDay(to)
		}
		if !ok || !ok2 {
			return 0, fmt.Errorf("%q is no day: use mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri", item)
		}
		for ; ; a = (a + 1) % 7 {
			set |= 1 << a
			if a == b {
				break
			}
		}
	}
	return set, nil
}

// String writes the days as people do: Mon-Fri, or Sat,Sun.
func (d weekdays) String() string {
	var parts []string
	for i := 1; i <= 7; {
		if !d.has(time.Weekday(i % 7)) {
			i++
			continue
		}
		from := i
		for i <= 7 && d.has(time.Weekday(i%7)) {
			i++
		}
		first, last := time.Weekday(from % 7).String()[:3], time.Weekday((i - 1) % 7).String()[:3]
		switch i - from {
		case 1:
			parts = append(parts, first)
		case 2:
			parts = append(parts, first, last)
		default:
			parts = append(parts, first+"-"+last)
		}
	}
	return strings.Join(parts, ",")
}

// parseMinute reads a time of day, 00:00 to 24:00, as minutes.
func parseMinute(s string) (int, error) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	hour, minute := digits(h), digits(m)
	if !ok || len(m) != 2 || hour < 0 || minute < 0 {
		return 0, fmt.Errorf("%q is no time of day: write it as 07:00", s)
	}
	if minute > 59 || hour > 24 || hour == 24 && minute > 0 {
		return 0, fmt.Errorf("%q is no time of day: 00:00 to 24:00", s)
	}
	return hour*60 + minute, nil
}

// digits is the number that one or two digits write, -1 for anything else.
func digits(s string) int {
	if len(s) < 1 || len(s) > 2 {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// span is a part of some days; to before from is on the next day.
type span struct {
	days     weekdays
	weeks    []int
	from, to int // minutes
}

// has reports whether a local time is in the span.
func (s span) has(t time.Time) bool {
	at := t.Hour()*60 + t.Minute()
	if s.from < s.to {
		return at >= s.from && at < s.to && s.begins(t)
	}
	return at >= s.from && s.begins(t) || at < s.to && s.begins(t.AddDate(0, 0, -1))
}

// begins reports whether the span begins on the day of t.
func (s span) begins(t time.Time) bool {
	return s.days.has(t.Weekday()) && (len(s.weeks) == 0 || slices.Contains(s.weeks, (t.Day()-1)/7+1))
}

func (s span) String() string {
	weeks := ""
	for i, n := range s.weeks {
		if i > 0 {
			weeks += ","
		}
		weeks += fmt.Sprint(n)
	}
	if weeks != "" {
		weeks = " (" + weeks + " of the month)"
	}
	return fmt.Sprintf("%s%s %02d:%02d-%02d:%02d", s.days, weeks, s.from/60, s.from%60, s.to/60, s.to%60)
}

// parseHours reads "22:00-04:00"; nothing is all day.
func parseHours(s string) (from, to int, err error) {
	if strings.TrimSpace(s) == "" {
		return 0, minutesADay, nil
	}
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q are no hours: write them as 22:00-04:00", s)
	}
	if from, err = parseMinute(a); err != nil {
		return 0, 0, err
	}
	if to, err = parseMinute(b); err != nil {
		return 0, 0, err
	}
	if from == to || from == minutesADay {
		return 0, 0, fmt.Errorf("%q are no hours: begin and end are the same, all day is 00:00-24:00", s)
	}
	return from, to, nil
}

// zones remembers the time zones that were looked up: reading one takes longer
// than all the rest of a judgement. What a name means never changes, and the names
// come from the configuration.
var zones sync.Map // string -> *time.Location

// location finds a time zone by its name; the empty name is that of t.
func location(name string, t time.Time) (*time.Location, error) {
	if name == "" {
		return t.Location(), nil
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("no time zone %q: use a name such as Europe/Berlin", name)
	}
	zones.Store(name, loc)
	return loc, nil
}

// span are the business hours of a day.
func (b *BusinessHours) span() (span, error) {
	s := span{from: 7 * 60, to: 19 * 60}
	var errs [3]error
	s.days, errs[0] = parseDays(b.Days, workdays)
	if b.From != "" {
		s.from, errs[1] = parseMinute(b.From)
	}
	if b.To != "" {
		s.to, errs[2] = parseMinute(b.To)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return span{}, err
	}
	if s.from == s.to || s.from == minutesADay {
		return span{}, errors.New("business hours begin and end at the same time: all day is from 00:00 to 24:00")
	}
	return s, nil
}

// holiday returns how the day of t is written among the holidays, empty when it is
// none.
func (b *BusinessHours) holiday(t time.Time) string {
	for _, h := range b.Holidays {
		h = strings.TrimSpace(h)
		if len(h) == len("12-25") && h == t.Format("01-02") || len(h) >= len(time.DateOnly) && h[:len(time.DateOnly)] == t.Format(time.DateOnly) {
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

// Business reports whether a time is within business hours, and why in words that
// serve as evidence. The zone of t is that of business hours without one of their
// own.
func (c *Config) Business(t time.Time) (inside bool, why string) {
	b := &c.BusinessHours
	loc, err := location(b.TimeZone, t)
	if err != nil {
		loc = t.Location() // the configuration was not checked
	}
	s, err := b.span()
	if err != nil {
		s = span{days: workdays, from: 7 * 60, to: 19 * 60}
	}
	t = t.In(loc)
	zone := loc.String()
	if zone == "Local" {
		zone = t.Format("MST")
	}
	why = fmt.Sprintf("%s, business hours %s %s", t.Format("15:04 Mon"), s, zone)
	inside = s.has(t)
	day := t // the day the hours began on
	if inside && t.Hour()*60+t.Minute() < s.from {
		day = t.AddDate(0, 0, -1)
	}
	if h := b.holiday(day); h != "" {
		return false, fmt.Sprintf("%s, %s is a holiday", t.Format("15:04 Mon"), h)
	}
	return inside, why
}

// recurs reports whether the schedule is one of days and hours.
func (s *Schedule) recurs() bool { return len(s.Weekdays) > 0 || len(s.Weeks) > 0 || s.Hours != "" }

func (s *Schedule) span() (span, error) {
	out := span{weeks: s.Weeks}
	var err error
	if out.days, err = parseDays(s.Weekdays, everyDay); err != nil {
		return span{}, err
	}
	out.from, out.to, err = parseHours(s.Hours)
	return out, err
}

// has reports whether t is in the schedule, and how that is written. A schedule
// that is not valid has no time.
func (s *Schedule) has(t time.Time) (ok bool, written string) {
	if !s.From.IsZero() && t.Before(s.From) || !s.To.IsZero() && !t.Before(s.To) {
		return false, ""
	}
	if !s.From.IsZero() || !s.To.IsZero() {
		written = fmt.Sprintf("%s to %s", stamp(s.From), stamp(s.To))
	}
	if !s.recurs() {
		return true, written
	}
	loc, err := location(s.TimeZone, t)
	if err != nil {
		return false, ""
	}
	span, err := s.span()
	if err != nil || !span.has(t.In(loc)) {
		return false, ""
	}
	return true, strings.TrimSpace(fmt.Sprintf("%s %s %s", span, s.TimeZone, written))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "..."
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}
