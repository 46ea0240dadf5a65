package inventory

import (
	"fmt"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// Judge scores services by what they show and by whose package they are.
type Judge struct {
	Weights score.Weights
}

// ScoreService is the verdict on a service: the worst of its commands'. ok is
// always true.
func (j Judge) ScoreService(s *Service) (v score.Verdict, ok bool) {
	for i, in := range s.Installs() {
		one := score.Install(service.Features(in), s.factors(), j.Weights)
		if i == 0 || one.Score > v.Score {
			v = one
		}
	}
	return v, true
}

// factors are what is known of a service beyond its commands.
func (s *Service) factors() []score.Factor {
	var all []score.Factor
	if s.Verified == evidence.Yes {
		all = append(all, score.Factor{Name: "attribution", Evidence: fmt.Sprintf("package %s %s: unit and programs are as it brought them", s.Package, s.PackageVersion)})
	}
	if len(s.Writable) > 0 {
		all = append(all, score.Factor{Name: "writable_by_others", Evidence: fmt.Sprintf("others than root can change %q", s.Writable[0])})
	}
	return all
}
