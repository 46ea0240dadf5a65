package packs

// Parse shows how a catalogue is read.
func Parse(data []byte) ([]Query, error) { return parse(data) }
