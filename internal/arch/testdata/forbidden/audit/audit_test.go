package audit_test

import _ "github.com/cosmosgate/cosmosgate/proxy"
