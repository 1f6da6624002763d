module github.com/cosmosgate/cosmosgate/test/sql

go 1.26.0

require (
	github.com/cosmosgate/cosmosgate v0.0.0
	github.com/google/go-cmp v0.7.0
	go.yaml.in/yaml/v3 v3.0.6
)

replace github.com/cosmosgate/cosmosgate => ../..
