package evtx

import (
	"math"
	"strconv"
	"strings"

	"github.com/Velocidex/ordereddict"

	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

// filetimeEpoch is 1970 in 100 ns since 1601.
const filetimeEpoch = 116_444_736_000_000_000

// fromFiletime rounds down to seconds since 1970 UTC.
func fromFiletime(t uint64) int64 {
	d := int64(t) - filetimeEpoch
	if d < 0 {
		return 0
	}
	return d / 10_000_000
}

// event adds what an event tells to b.
func (e *Reader) event(b *Batch, root *ordereddict.Dict, written uint64) {
	ev := dict(root, "Event")
	system := dict(ev, "System")
	if system == nil {
		return
	}
	provider, id := text(dict(system, "Provider"), "Name"), number(system, "EventID")
	if !winevent.Reads(provider, id) {
		return
	}
	data := named(ev)
	if data == nil {
		return
	}
	before := len(b.Processes)
	e.meaning.Read(&winevent.Event{
		Provider: provider, ID: id, Time: eventTime(system, written), Host: text(system, "Computer"), Channel: text(system, "Channel"),
		PID: number(dict(system, "Execution"), "ProcessID"), UID: sid(text(dict(system, "Security"), "UserID")),
		Data: values(data), Source: source(provider, id), EID: text(system, "EventRecordID"),
	}, &b.Batch)
	b.count(before)
}

// count counts the processes behind the first ones that have no command line.
func (b *Batch) count(before int) {
	for i := before; i < len(b.Processes); i++ {
		if b.Processes[i].CmdLine == "" {
			b.Bare++
		}
	}
}

// source names the log that an event is from.
func source(provider string, id int64) string {
	switch provider {
	case winevent.ProviderSecurity:
		return SourceSecurity
	case winevent.ProviderEventLog:
		if id == winevent.AuditCleared {
			return SourceSecurity
		}
	case winevent.ProviderSysmon:
		return SourceSysmon
	case winevent.ProviderPowerShell, winevent.ProviderCore:
		return SourcePowerShell
	case winevent.ProviderTerminal:
		return SourceTerminal
	case winevent.ProviderInstaller:
		return SourceApplication
	case winevent.ProviderServicing:
		return SourceSetup
	}
	return SourceSystem
}

func sid(s string) string {
	if strings.HasPrefix(s, "S-1-") {
		return s
	}
	return ""
}

// eventTime is when the event was made. The parser gives it as a floating-point
// number, too coarse for the last ticks before a full second; the record's own
// time is exact and the same, except in forwarded logs.
func eventTime(system *ordereddict.Dict, written uint64) int64 {
	at := fromFiletime(written)
	created := dict(system, "TimeCreated")
	if created == nil {
		return at
	}
	v, _ := created.Get("SystemTime")
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) || f < 0 || f > 1<<40 {
		return at
	}
	if exact := float64(int64(written)-filetimeEpoch) / 1e7; math.Abs(exact-f) < 0.001 {
		return at
	}
	return int64(math.Floor(f))
}

func dict(d *ordereddict.Dict, key string) *ordereddict.Dict {
	if d == nil {
		return nil
	}
	v, _ := d.Get(key)
	out, _ := v.(*ordereddict.Dict)
	return out
}

// named returns an event's data by name. The parser does that only for events
// whose every value is there and that have more than one. The data of some
// providers is one element of their own.
func named(event *ordereddict.Dict) *ordereddict.Dict {
	d := dict(event, "EventData")
	if d == nil {
		user := dict(event, "UserData")
		if user == nil {
			return nil
		}
		for _, k := range user.Keys() {
			if inner := dict(user, k); inner != nil {
				return inner
			}
		}
		return nil
	}
	v, ok := d.Get("Data")
	if !ok {
		return d
	}
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	out := ordereddict.NewDict()
	for _, it := range items {
		if item, ok := it.(*ordereddict.Dict); ok {
			if value, ok := item.Get("Value"); ok {
				if name := text(item, "Name"); name != "" {
					out.Set(name, value)
				}
			}
		}
	}
	if out.Len() == 0 {
		return d
	}
	return out
}

// positional returns the values of an event whose data has no names.
func positional(d *ordereddict.Dict) []string {
	v, _ := d.Get("Data")
	switch v := v.(type) {
	case []string:
		return v
	case string:
		return []string{v}
	case []any:
		out := make([]string, len(v))
		for i, it := range v {
			if s, ok := it.(string); ok {
				out[i] = strings.TrimRight(s, "\x00")
			}
		}
		return out
	}
	return nil
}

// text returns a value as the event viewer would show it.
func text(d *ordereddict.Dict, key string) string {
	if d == nil {
		return ""
	}
	v, _ := d.Get(key)
	return shown(v)
}

// shown is a value of an event as text.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimRight(v, "\x00")
	case bool:
		return strconv.FormatBool(v)
	case *ordereddict.Dict:
		return text(v, "Value")
	case uint8:
		return strconv.FormatUint(uint64(v), 10)
	case uint16:
		return strconv.FormatUint(uint64(v), 10)
	case uint32:
		return strconv.FormatUint(uint64(v), 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return ""
}

// number returns a number of an event's header; they have at most 32 bits.
func number(d *ordereddict.Dict, key string) int64 {
	n, err := strconv.ParseUint(text(d, key), 10, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

// values are an event's values by name. The signed numbers among them, of which
// those of PowerShell's scripts are of use, the parser hands over as the text of
// their bytes without trailing zeros.
func values(d *ordereddict.Dict) map[string]string {
	keys := d.Keys()
	out := make(map[string]string, len(keys))
	for _, key := range keys {
		switch key {
		case "Data":
			for i, s := range positional(d) {
				out[strconv.Itoa(i)] = s
			}
			continue
		case "MessageNumber", "MessageTotal":
			out[key] = strconv.FormatInt(int64(int32Value(d, key)), 10)
			continue
		}
		v, _ := d.Get(key)
		out[key] = shown(v)
	}
	return out
}

// int32Value returns a signed number, which the parser hands over as the text of
// its bytes without trailing zeros.
func int32Value(d *ordereddict.Dict, key string) int32 {
	if d == nil {
		return 0
	}
	v, _ := d.Get(key)
	s, ok := v.(string)
	if !ok {
		n, err := strconv.ParseInt(shown(v), 10, 32)
		if err != nil {
			return 0
		}
		return int32(n)
	}
	var n uint32
	for i := min(len(s), 4) - 1; i >= 0; i-- {
		n = n<<8 | uint32(s[i])
	}
	return int32(n)
}

// LogonType names a logon type of Windows in the words of evidence.Logon; "" is
// one without a name.
func LogonType(n int64) string { return winevent.LogonType(int(n)) }
