package identity

// CountKeys parses a key document for the fuzzer: it returns how many usable keys there are, and how many under one kid at most.
func CountKeys(document []byte) (int, int, error) {
	keys, err := parseKeys(document)

	total, most := 0, 0
	for _, under := range keys {
		total, most = total+len(under), max(most, len(under))
	}

	return total, most, err
}
