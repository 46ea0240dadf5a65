package attribution_test

import (
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
)

func TestBusiness(t *testing.T) {
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	berlin := attribution.BusinessHours{TimeZone: "Europe/Berlin"}
	night := attribution.BusinessHours{TimeZone: "UTC", Days: []string{"Mon", "wednesday-fri"}, From: "22:00", To: "6:00", Holidays: []string{"12-25", "2026-11-26T00:00:00Z"}}
	for _, c := range []struct {
		name   string
		hours  attribution.BusinessHours
		at     string
		inside bool
		why    string
	}{
		{"Saturday night", berlin, "2026-11-21T01:14:00Z", false, "02:14 Sat, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"Tuesday", berlin, "2026-11-24T09:00:00Z", true, "10:00 Tue, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"begins", berlin, "2026-11-24T06:00:00Z", true, "07:00 Tue, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"has ended", berlin, "2026-11-24T18:00:00Z", false, "19:00 Tue, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"in summer", berlin, "2026-07-21T05:30:00Z", true, "07:30 Tue, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"the hour that summer time leaves out", berlin, "2026-03-30T05:00:00Z", true, "07:00 Mon, business hours Mon-Fri 07:00-19:00 Europe/Berlin"},
		{"the day begins elsewhere", attribution.BusinessHours{TimeZone: "Asia/Tokyo"}, "2026-11-22T23:30:00Z", true, "08:30 Mon, business hours Mon-Fri 07:00-19:00 Asia/Tokyo"},
		{"the zone of the time", attribution.BusinessHours{}, "2026-11-24T09:00:00Z", true, "09:00 Tue, business hours Mon-Fri 07:00-19:00 UTC"},
		{"in the night", night, "2026-11-23T23:00:00Z", true, "23:00 Mon, business hours Mon,Wed-Fri 22:00-06:00 UTC"},
		{"the morning after", night, "2026-11-24T05:59:00Z", true, "05:59 Tue, business hours Mon,Wed-Fri 22:00-06:00 UTC"},
		{"the morning after no night", night, "2026-11-25T05:59:00Z", false, "05:59 Wed, business hours Mon,Wed-Fri 22:00-06:00 UTC"},
		{"a holiday", night, "2026-11-26T23:00:00Z", false, "23:00 Thu, 2026-11-26 is a holiday"},
		{"the night that began on a holiday", night, "2026-11-27T01:00:00Z", false, "01:00 Fri, 2026-11-26 is a holiday"},
		{"the night that ended on a holiday", night, "2026-11-26T01:00:00Z", true, "01:00 Thu, business hours Mon,Wed-Fri 22:00-06:00 UTC"},
		{"every year", night, "2028-12-25T23:00:00Z", false, "23:00 Mon, 2028-12-25 is a holiday"},
		{"always", attribution.BusinessHours{Days: []string{"mon-sun"}, From: "00:00", To: "24:00"}, "2026-11-21T01:14:00Z", true, "01:14 Sat, business hours Mon-Sun 00:00-24:00 UTC"},
		{"a span over the weekend", attribution.BusinessHours{Days: []string{"sat-mon"}}, "2026-11-22T12:00:00Z", true, "12:00 Sun, business hours Mon,Sat,Sun 07:00-19:00 UTC"},
		{"an unchecked mistake", attribution.BusinessHours{TimeZone: "Mars", Days: []string{"x"}}, "2026-11-24T09:00:00Z", true, "09:00 Tue, business hours Mon-Fri 07:00-19:00 UTC"},
	} {
		conf := attribution.Config{BusinessHours: c.hours}
		if inside, why := conf.Business(at(c.at)); inside != c.inside || why != c.why {
			t.Errorf("%s: %v, %q, want %v, %q", c.name, inside, why, c.inside, c.why)
		}
	}
}

func TestStakes(t *testing.T) {
	conf := attribution.Config{CriticalAssets: []string{"dc-*", "vault", "ca*.corp.example", "*.dmz.example"}, SensitiveAccounts: []string{"root", "*-admin", `CORP\backup`, "ceo@example.org"}}
	for host, want := range map[string]string{"dc-01": "dc-*", "DC-02.corp": "dc-*", "vault": "vault", "vault2": "", "": "",
		"CA1": "ca*.corp.example", "ca1.corp.example": "ca*.corp.example", "ca1.example": "", "xca1": "", "www": "", "www.dmz.example": "*.dmz.example"} {
		if got := conf.Critical(host); got != want {
			t.Errorf("host %s: %q, want %q", host, got, want)
		}
	}
	for user, want := range map[string]string{
		"root": "root", `PC-7\al-admin`: "*-admin", "al-admin@corp": "*-admin", "al": "", "": "", `corp\BACKUP`: `CORP\backup`, `PC-7\backup`: "", "backup": "",
		"ceo@example.org": "ceo@example.org", "ceo@example.com": "",
	} {
		if got := conf.Sensitive(user); got != want {
			t.Errorf("user %s: %q, want %q", user, got, want)
		}
	}
	if none := (&attribution.Config{}); none.Critical("") != "" || none.Sensitive("") != "" {
		t.Error("nothing is configured")
	}
}
