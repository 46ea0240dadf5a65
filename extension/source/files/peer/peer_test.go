package peer

import "testing"

func TestAddress(t *testing.T) {
	for _, tt := range []struct {
		in, want     string
		local, other bool
	}{
		{"10.0.0.5", "10.0.0.5", false, true},
		{" ::ffff:10.0.0.5 ", "10.0.0.5", false, true},
		{"fe80:0:0:0:80ac:4126:fa58:1b81", "fe80::80ac:4126:fa58:1b81", false, true},
		{"fe80::1%4", "fe80::1%4", false, true},
		{"127.0.0.2", "127.0.0.2", true, false},
		{"::1", "::1", true, false},
		{"-", "", true, false},
		{"0.0.0.0", "", true, false},
		{"0:0:0:0:0:0:0:0", "", true, false},
		{"ff02:0:0:0:0:0:1:3", "ff02::1:3", false, false},
		{"224.0.0.251", "224.0.0.251", false, false},
		{"255.255.255.255", "255.255.255.255", false, false},
		{"PC01", "PC01", false, true},
		{"LocalHost", "LocalHost", true, false},
	} {
		got := Address(tt.in)
		if got != tt.want || Local(got) != tt.local || Other(got) != tt.other {
			t.Errorf("%q: %q, local %v, other %v", tt.in, got, Local(got), Other(got))
		}
	}
}
