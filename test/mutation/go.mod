module github.com/cosmosgate/cosmosgate/test/mutation

go 1.26
