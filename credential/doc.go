// Package credential signs engineers and programs in to a cosmosgate.
package credential
