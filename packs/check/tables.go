package check

import "github.com/osquery-rollcall/rollcall/tables"

// Tables are the schemas of Rollcall's tables. They have no readers: nothing may
// call their generators.
func Tables() []*tables.Table {
	return []*tables.Table{
		tables.ServiceDiscoveryEvents(nil, nil),
		tables.ServiceDiscoveryBaselines(nil, nil),
		tables.ServiceDiscoveryRules(nil, nil),
		tables.ServiceDiscoveryScore(nil, "", nil),
		tables.ServiceDiscoveryHealth(nil, nil, nil),
		tables.ServiceDiscoveryBursts(nil, nil),
		tables.ServiceInstallEvents(nil, nil),
		tables.ServiceInventory(nil, nil, nil),
		tables.ServiceIncidents(nil, nil),
		tables.ServiceIncidentTimeline(nil),
		tables.ServiceIncidentTriage(nil),
	}
}
