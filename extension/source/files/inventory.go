package files

import (
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

// inventory makes installs of the rows of tables that list services. Such a table
// tells what is there, not what happened: a row that was added since the last time
// is a service that is new, and one that was removed is gone, unless its name was
// added again with it. Whoever asks for more than a service's setup (its state, its
// process) gets a row anew at every start: the same setup is no change.
type inventory struct {
	run  string // the query's run, whose rows belong together
	rows map[string]*pair
	list []*pair
}

// pair is what one run says of one service.
type pair struct{ added, removed *evidence.Install }

// runOf names the run of a query that a result is of; "" is one whose rows are no
// news: a snapshot, or the first run, where all that is there is added.
func runOf(o fieldmap.Object) string {
	counter := number(o["counter"])
	if counter <= 0 {
		return ""
	}
	name, _ := o["name"].(string)
	host, _ := o["hostIdentifier"].(string)
	return name + "\x00" + host + "\x00" + text(o["epoch"]) + "\x00" + text(o["counter"])
}

// row takes a service that was added, or removed.
func (v *inventory) row(run string, i evidence.Install, removed bool, to *evidence.Batch) {
	if run == "" {
		return
	}
	if run != v.run {
		v.flush(to)
		v.run, v.rows = run, map[string]*pair{}
	}
	p := v.rows[i.Name]
	if p == nil {
		if len(v.list) >= maxRows {
			return
		}
		p = &pair{}
		v.rows[i.Name] = p
		v.list = append(v.list, p)
	}
	if removed {
		p.removed = &i
	} else {
		p.added = &i
	}
}

// flush adds what became of the services of a run.
func (v *inventory) flush(to *evidence.Batch) {
	for _, p := range v.list {
		i := p.added
		switch {
		case i == nil:
			i = p.removed
			i.Action = evidence.Removed
		case p.removed == nil:
			i.Action = evidence.Created
		default:
			i.Action, i.Changes = evidence.Modified, changes(p.removed, i)
			if len(i.Changes) == 0 {
				continue
			}
		}
		i.TimeBasis = evidence.BasisFirstSeen
		to.Installs = append(to.Installs, *i)
	}
	v.run, v.rows, v.list = "", nil, nil
}

// changes says what of a service's setup differs.
func changes(old, now *evidence.Install) (out []string) {
	for _, f := range []struct{ name, old, now string }{
		{"image_path", old.ImagePath, now.ImagePath}, {"service_dll", old.ServiceDLL, now.ServiceDLL}, {"service_type", old.ServiceType, now.ServiceType},
		{"start_type", old.StartType, now.StartType}, {"account", old.Account, now.Account}, {"unit_path", old.UnitPath, now.UnitPath},
	} {
		if f.old != f.now {
			out = append(out, f.name+": "+f.old+" -> "+f.now)
		}
	}
	return out
}
