package incident

import "slices"

// Rejudged is a command that was told of before and is judged anew.
type Rejudged struct {
	Command
	// Was says whether somebody was known for it before.
	Was bool
}

// Rejudge takes other verdicts on installs and commands that were told of before, since
// more became known of who was behind them. What it changes of bursts and incidents is
// decided, and told, by the next Add.
func (b *Book) Rejudge(installs []Install, commands []Rejudged) {
	for _, in := range installs {
		h := b.host(in.Host)
		for _, x := range h.incidents {
			if i := slices.IndexFunc(x.Installs, func(old Install) bool { return old.ID == in.ID }); i >= 0 {
				x.Installs[i].Verdict = in.Verdict
				b.again.incidents = append(b.again.incidents, x)
			}
		}
		h.installs = slices.DeleteFunc(h.installs, func(old Install) bool { return old.ID == in.ID })
		h.remember(in)
	}
	for _, c := range commands {
		for _, x := range b.host(c.Host).bursts[c.key()] {
			if c.Time >= x.Start && c.Time <= x.End && x.rejudge(c) {
				b.again.bursts = append(b.again.bursts, x)
				break
			}
		}
	}
}

// again is what was judged anew since the last Add.
type again struct {
	bursts    []*Burst
	incidents []*Incident
}

// resume takes up what was judged anew.
func (b *Book) resume() {
	for _, x := range b.again.bursts {
		b.bursts[x] = true
	}
	for _, x := range b.again.incidents {
		b.incidents[x] = true
	}
	b.again = again{}
}

// rejudge takes another verdict on a command of the burst. Of a long one not all commands
// are kept: what nobody was known for stays so until the last of them is accounted for.
func (x *Burst) rejudge(c Rejudged) bool {
	if is := c.attributed(); is != c.Was {
		if is {
			x.Attributed++
		} else {
			x.Attributed--
		}
		if x.Attributed < 0 || x.Attributed > x.Events {
			return false // it is another burst's
		}
	}
	x.Strong = x.Strong || c.attributed() && !c.Attribution.Weak()
	take := func(old *Command) {
		if old.ID == c.ID {
			old.Verdict, old.From = c.Verdict, c.From
		}
	}
	for i := range x.Sample {
		take(&x.Sample[i])
	}
	take(&x.Best)
	if c.stronger(&x.Best) {
		x.Best = c.Command
	}
	for i := range x.Sample {
		if x.Sample[i].stronger(&x.Best) {
			x.Best = x.Sample[i]
		}
	}
	before := x.Loose
	x.Loose = nil
	if x.Attributed == x.Events {
		return true
	}
	for i := range x.Sample {
		if s := &x.Sample[i]; !s.attributed() && (x.Loose == nil || s.stronger(x.Loose)) {
			loose := *s
			x.Loose = &loose
		}
	}
	if !c.attributed() && (x.Loose == nil || c.stronger(x.Loose)) {
		x.Loose = &c.Command
	}
	if x.Loose == nil {
		x.Loose = before
	}
	return true
}
