package packs

// osctrl keeps the parts of an osquery configuration apart. Packs go whole into its
// "packs": its "schedule" loses "removed": false on the way (it leaves out what is
// false, and osquery then logs every row that leaves a window). It has no views, so
// the configuration of Rollcall goes as an option.
func (c *Catalogue) osctrl(o Options) ([]File, error) {
	_, all := c.packNames(o)
	options := c.optionsFor(Platforms()...)
	options["custom_rollcall"] = "{}"
	var files []File
	for _, part := range []struct {
		name string
		v    any
	}{{"packs.json", all}, {"options.json", options}, {"decorators.json", c.decorators()}} {
		f, err := jsonFile(part.name, part.v)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
