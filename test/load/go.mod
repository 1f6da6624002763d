module github.com/cosmosgate/cosmosgate/test/load

go 1.26.0

require github.com/cosmosgate/cosmosgate v0.0.0

replace github.com/cosmosgate/cosmosgate => ../..
