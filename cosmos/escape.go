package cosmos

const upperHex = "0123456789ABCDEF"

// appendEscaped percent-encodes every byte of s but the unreserved ones of RFC 3986, section 2.3.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if isUnreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xf])
		}
	}

	return dst
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// unescapeOnce decodes each %XX of s once; ok is false if one is cut short or not hexadecimal.
func unescapeOnce(s string) (decoded string, ok bool) {
	value := make([]byte, 0, len(s))

	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			value = append(value, s[i])

			continue
		}

		c, valid := percentByte(s[i:])
		if !valid {
			return "", false
		}

		value = append(value, c)
		i += len("XX")
	}

	return string(value), true
}

// percentByte reads %XX at the start of s.
func percentByte(s string) (byte, bool) {
	const size = len("%XX")
	if len(s) < size || s[0] != '%' {
		return 0, false
	}

	high, highOK := hexDigit(s[1])
	low, lowOK := hexDigit(s[2])

	return high<<4 | low, highOK && lowOK
}
