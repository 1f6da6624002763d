package proxy

import (
	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

var (
	_ audit.Record
	_ config.Config
)
