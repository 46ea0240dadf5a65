package config

// Nearest suggests the valid name that differs least from a wrong one, as the end of
// an error's text; empty when none is near.
func Nearest(key string, names []string) string { return nearest(key, names) }
