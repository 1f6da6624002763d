package policy

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/stretchr/testify/assert"
)

var (
	_ types.Value
	_ = assert.True
)
