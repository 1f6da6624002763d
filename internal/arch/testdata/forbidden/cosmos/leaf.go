package cosmos

import (
	"net/http"

	"github.com/cosmosgate/cosmosgate/policy"
)

var (
	_ http.Header
	_ policy.Request
)
