// Package score turns facts into a number with reasons: factors add log-odds to
// a prior from the rule's level, and the sum is a probability times 100. It is
// pure.
package score

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"

	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

// Family groups factors that tell much the same; each family counts its strongest
// factor in full and the others at a third.
type Family string

// The families of factors.
const (
	Prior       Family = "prior"
	Evasion     Family = "evasion"
	Novelty     Family = "novelty"
	Volume      Family = "volume"
	Privilege   Family = "privilege"
	Lineage     Family = "lineage"
	Chain       Family = "chain"
	Stakes      Family = "stakes"
	Attribution Family = "attribution"
)

// Reason is one factor as people and packs see it.
type Reason struct {
	Factor   string  `json:"factor"`
	Weight   float64 `json:"weight"` // log-odds that were added
	Evidence string  `json:"evidence"`

	family Family
}

// Verdict is a score with its reasons, the prior first, then by weight.
type Verdict struct {
	Score    int      `json:"score"` // 0..100
	Severity string   `json:"severity"`
	Reasons  []Reason `json:"reasons"`
}

// Weights maps a factor's name to its log-odds.
type Weights map[string]float64

// Definition documents one factor.
type Definition struct {
	Name    string
	Family  Family
	Default float64
	Meaning string
}

// Definitions are the factors Rollcall knows, in documentation order.
func Definitions() []Definition {
	return []Definition{
		{"obfuscated", Evasion, 1.6, "the text hides the command: carets, split quotes, concatenation, computed names"},
		{"encoded", Evasion, 1.8, "the command arrived base64- or hex-encoded"},
		{"renamed_binary", Evasion, 2.2, "the image is a copy of the tool under another name"},
		{"hidden_window", Evasion, 1.2, "a wrapper asked for an invisible window"},
		{"output_to_file", Evasion, 0.9, "the list is written to a file"},
		{"first_seen", Novelty, 0.35, "this user never ran this family of commands on this host, and the host has been watched long enough to say so"},
		{"new_source", Novelty, 0.6, "the session came from a public address of a network this user never came from"},
		{"elevated", Privilege, 0.2, "it ran as root, SYSTEM or with an elevated token"},
		{"elevated_unauthorised", Privilege, 1.5, "it ran as root for a login user without sudo, su, pkexec or a login in its ancestry, or with an elevated token of a local user of Windows in no group of administrators"},
		{"web_ancestor", Lineage, 3.2, "a web server or its language runtime is among the ancestors"},
		{"database_ancestor", Lineage, 3.2, "a database server is among the ancestors"},
		{"office_ancestor", Lineage, 3.2, "an office program is among the ancestors"},
		{"browser_ancestor", Lineage, 2.6, "a browser is among the ancestors"},
		{"mail_ancestor", Lineage, 2.8, "a mail program or server is among the ancestors"},
		{"script_host_ancestor", Lineage, 1.6, "mshta, a script host or another program that runs downloaded code is among the ancestors"},
		{"temporary_ancestor", Lineage, 1.3, "a program that lies where every user can write is among the ancestors"},
		{"remote_target", Lineage, 0.8, "the question is for another machine"},
		{"remote_execution", Lineage, 1.2, "a remote execution tool started it"},
		{"several_families", Chain, 0.8, "services are listed in several ways, in one command line or one burst"},
		{"discovery_chain", Chain, 1.0, "other ATT&CK Discovery techniques by the same user near by"},
		{"impact", Chain, 2.6, "the same user stopped what protects the host, or destroyed its means of recovery, near by"},
		{"repeated_looks", Chain, 0.8, "the same user, who is not known for it, came back for one more look several times within a day"},
		{"install_after_discovery", Chain, 2.2, "a service was installed or changed after services were listed"},
		{"connection_after_discovery", Chain, 1.4, "an unusual outbound connection after services were listed"},
		{"account_change", Chain, 1.0, "an account or group was changed near by"},
		{"failed_logons", Chain, 0.6, "logons failed before it"},
		{"audit_change", Chain, 1.2, "auditing was changed or a log cleared near by"},
		{"volume_anomaly", Volume, 1.5, "more such commands in a day than this user's history explains"},
		{"many_questions", Volume, 1.6, "many services were asked about one by one: that is a list too"},
		{"off_hours", Novelty, 0.7, "outside the configured business hours"},
		{"unexpected_parent", Novelty, 0.5, "this family of commands never came from this kind of parent here"},
		{"remote_session", Lineage, 0.1, "in a session from another machine"},
		{"young_service_ancestor", Lineage, 2.6, "an ancestor is an unattributed service younger than a day"},
		{"critical_asset", Stakes, 0.6, "the host is configured as critical"},
		{"sensitive_account", Stakes, 0.6, "the account is configured as sensitive"},
		{"ioc_match", Stakes, 4.5, "an indicator of the user's feeds matches"},
		{"attribution", Attribution, -2.0, "somebody's legitimate operation, scaled by the strength of the evidence"},
	}
}

// DefaultWeights are the weights of Definitions and InstallDefinitions.
func DefaultWeights() Weights {
	w := Weights{}
	for _, d := range Definitions() {
		w[d.Name] = d.Default
	}
	for _, d := range InstallDefinitions() {
		w[d.Name] = d.Default
	}
	return w
}

// families are the families of all factors. They are put together once and never
// change.
var families = sync.OnceValue(func() map[string]Family {
	m := map[string]Family{}
	for _, d := range Definitions() {
		m[d.Name] = d.Family
	}
	for _, d := range InstallDefinitions() {
		m[d.Name] = d.Family
	}
	return m
})

// Factor is one thing that was found; its weight comes from Weights, times Scale.
type Factor struct {
	Name     string
	Evidence string
	// Scale in 0..1 weakens a factor; 0 means 1.
	Scale float64
}

// PriorOf is the probability a rule's level starts with (DESIGN, section 5).
func PriorOf(l sigma.Level) float64 {
	switch l {
	case sigma.Informational:
		return 0.05
	case sigma.Low:
		return 0.25
	case sigma.High:
		return 0.70
	case sigma.Critical:
		return 0.90
	}
	return 0.45
}

// Severity is the band of a score.
func Severity(score int) string {
	switch {
	case score < 20:
		return "informational"
	case score < 40:
		return "low"
	case score < 60:
		return "medium"
	case score < 80:
		return "high"
	}
	return "critical"
}

// From is the lowest score of a severity; other for a word that is none.
func From(severity string, other int) int {
	switch severity {
	case "informational":
		return 0
	case "low":
		return 20
	case "medium":
		return 40
	case "high":
		return 60
	case "critical":
		return 80
	}
	return other
}

func logit(p float64) float64   { return math.Log(p / (1 - p)) }
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Sum scores a level with factors under weights. Unknown factors weigh nothing.
func Sum(level sigma.Level, because string, factors []Factor, w Weights) Verdict {
	family := families()
	prior := logit(PriorOf(level))
	reasons := make([]Reason, 0, len(factors)+1)
	for _, f := range factors {
		weight := w[f.Name]
		if f.Scale > 0 {
			weight *= f.Scale
		}
		if weight == 0 {
			continue
		}
		reasons = append(reasons, Reason{Factor: f.Name, Weight: weight, Evidence: f.Evidence, family: family[f.Name]})
	}
	sort.SliceStable(reasons, func(i, j int) bool {
		a, b := math.Abs(reasons[i].Weight), math.Abs(reasons[j].Weight)
		if a != b {
			return a > b
		}
		return reasons[i].Factor < reasons[j].Factor
	})
	seen := map[Family]bool{}
	total, floor, lowering := prior, prior, 0.0
	for i := range reasons {
		r := &reasons[i]
		if seen[r.family] {
			r.Weight /= 3
		}
		seen[r.family] = true
		if r.Weight < 0 {
			lowering += r.Weight
			continue
		}
		total += r.Weight
		if r.family == Evasion || r.family == Stakes {
			floor += r.Weight
		}
	}
	// Attribution lowers what context added, never what evasion and stakes alone
	// give; where there is neither, it may lower the prior too.
	lowered := total + lowering
	if floor > prior && lowered < floor {
		lowered = floor
	}
	// A third may weigh less than another family's strongest.
	sort.SliceStable(reasons, func(i, j int) bool { return math.Abs(reasons[i].Weight) > math.Abs(reasons[j].Weight) })
	out := make([]Reason, 0, len(reasons)+1)
	out = append(out, Reason{Factor: "rule_level", Weight: round2(prior), Evidence: because, family: Prior})
	for _, r := range reasons {
		r.Weight = round2(r.Weight)
		out = append(out, r)
	}
	n := int(math.Round(100 * sigmoid(lowered)))
	return Verdict{Score: n, Severity: Severity(n), Reasons: out}
}

// Raise adds factors to a verdict whose evidence went on: a family that the verdict
// has already counts at a third, and so does every factor of a family after its
// strongest.
func Raise(v Verdict, factors []Factor, w Weights) Verdict {
	family := families()
	seen := map[Family]bool{}
	total := 0.0
	reasons := make([]Reason, 0, len(v.Reasons)+len(factors))
	for _, r := range v.Reasons {
		r.family = family[r.Factor]
		if r.Factor != "rule_level" {
			seen[r.family] = true
		}
		total += r.Weight
		reasons = append(reasons, r)
	}
	if n := float64(v.Score) / 100; n > 0 && n < 1 {
		// What attribution may not lower is in the score alone.
		total = max(total, logit(n))
	}
	more := make([]Reason, 0, len(factors))
	for _, f := range factors {
		weight := w[f.Name]
		if f.Scale > 0 {
			weight *= f.Scale
		}
		if weight != 0 {
			more = append(more, Reason{Factor: f.Name, Weight: weight, Evidence: f.Evidence, family: family[f.Name]})
		}
	}
	sort.SliceStable(more, func(i, j int) bool { return math.Abs(more[i].Weight) > math.Abs(more[j].Weight) })
	for _, r := range more {
		if seen[r.family] {
			r.Weight /= 3
		}
		seen[r.family] = true
		total += r.Weight
		r.Weight = round2(r.Weight)
		reasons = append(reasons, r)
	}
	n := int(math.Round(100 * sigmoid(total)))
	if len(more) == 0 {
		n = v.Score
	}
	return Verdict{Score: n, Severity: Severity(n), Reasons: reasons}
}

func round2(x float64) float64 { return math.Round(x*100) / 100 }

// Explain writes the sum for a person, a line a reason.
func (v Verdict) Explain() string {
	var b strings.Builder
	for _, r := range v.Reasons {
		fmt.Fprintf(&b, "%+6.2f  %-22s %s\n", r.Weight, r.Factor, r.Evidence)
	}
	fmt.Fprintf(&b, "%6d  %s\n", v.Score, v.Severity)
	return b.String()
}
