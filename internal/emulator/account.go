package emulator

import (
	"net/http"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// engineConfiguration is the JSON text inside the account document that tells SDKs what the query
// engine supports.
const engineConfiguration = `{"maxSqlQueryInputLength":262144,"maxJoinsPerSqlQuery":10,"maxLogicalAndPerSqlQuery":2000,` +
	`"maxLogicalOrPerSqlQuery":2000,"maxUdfRefPerSqlQuery":10,"maxInExpressionItemsCount":16000,` +
	`"queryMaxGroupByTableCellCount":500,"queryMaxInMemorySortDocumentCount":500,` +
	`"maxQueryRequestTimeoutFraction":0.9,"sqlAllowNonFiniteNumbers":false,"sqlAllowAggregateFunctions":true,` +
	`"sqlAllowSubQuery":true,"sqlAllowScalarSubQuery":true,"allowNewKeywords":true,"sqlAllowLike":true,` +
	`"sqlAllowGroupByClause":true,"maxSpatialQueryCells":12,"spatialMaxGeometryPointCount":256,` +
	`"sqlDisableOptimizationFlags":0,"sqlAllowTop":true,"enableSpatialIndexing":true}`

// account answers the account document, which every caller who can sign in may read.
func (x *exchange) account() (*response, error) {
	if x.request.Method != http.MethodGet {
		return nil, methodNotAllowed()
	}
	config := &x.emulator.config
	locations := make([]document.Value, len(config.Locations))
	for i, location := range config.Locations {
		endpoint := location.Endpoint
		if endpoint == "" {
			scheme := "https"
			if x.request.TLS == nil {
				scheme = "http"
			}
			endpoint = scheme + "://" + x.request.Host + "/"
		}
		locations[i] = object(member("name", text(location.Name)), member("databaseAccountEndpoint", text(endpoint)))
	}
	const replicas = 4
	replication := object(
		member("asyncReplication", document.BoolValue(false)), member("minReplicaSetSize", number(1)), member("maxReplicasetSize", number(replicas)),
	)
	return valueResponse(http.StatusOK, object(
		member("_self", text("")),
		member("id", text(config.Account)),
		member("_rid", text(config.Account)),
		member("media", text("//media/")),
		member("addresses", text("//addresses/")),
		member("_dbs", text("//dbs/")),
		member("writableLocations", document.ArrayValue(locations[:1])),
		member("readableLocations", document.ArrayValue(locations)),
		member("enableMultipleWriteLocations", document.BoolValue(false)),
		member("continuousBackupEnabled", document.BoolValue(false)),
		member("enableNRegionSynchronousCommit", document.BoolValue(false)),
		member("enablePerPartitionFailoverBehavior", document.BoolValue(false)),
		member("userReplicationPolicy", replication),
		member("userConsistencyPolicy", object(member("defaultConsistencyLevel", text(config.Consistency)))),
		member("systemReplicationPolicy", replication),
		member("readPolicy", object(member("primaryReadCoefficient", number(1)), member("secondaryReadCoefficient", number(1)))),
		member("queryEngineConfiguration", text(engineConfiguration)),
	)), nil
}
