module github.com/cosmosgate/cosmosgate/test/browser

go 1.26.0
