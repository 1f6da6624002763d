// Package hybridrow reads and writes the rows and record streams in which the .NET SDK sends batches and expects their results: HybridRow
// (github.com/microsoft/HybridRow, Docs/Grammar.md) inside RecordIO (Docs/RecordIO.md). It knows the format and flat layouts of the types that
// batches use, and nothing of what a row means.
//
//	body := hybridrow.AppendStream(nil, hybridrow.BatchResult(), []hybridrow.Row{{"statusCode": int32(201)}})
//
// The gate has a reader of its own, which knows one layout and is strict. This one is as lenient as the library that the service uses, so that
// each is the other's judge.
package hybridrow

// Type is the type of a column; its values are the format's layout codes.
type Type byte

// The types that batches use, with the Go type of their values.
const (
	Bool    Type = 3  // bool
	Int32   Type = 7  // int32
	UInt32  Type = 11 // uint32
	Float64 Type = 16 // float64
	Text    Type = 20 // string
	Binary  Type = 21 // []byte
)

// Storage says where in a row a column lies.
type Storage byte

// Where columns lie.
const (
	Fixed    Storage = iota // always there, at a place of its own
	Variable                // there if its presence bit is set, with its length
	Sparse                  // at the end of the row, with its type and path
)

// Column is one column of a layout.
type Column struct {
	Path    string
	Type    Type
	Storage Storage
	// Required columns have no presence bit; fixed ones only.
	Required bool
}

// Layout is a schema: fixed columns first, then variable ones, then sparse ones, each group in the order in which the schema lists them.
type Layout struct {
	Schema  int32
	Columns []Column
}

// Row is a row's values by path. Columns that are not there are null.
type Row map[string]any

// BatchOperation is the layout of an operation of a batch (HybridRowBatchSchemas.json of the .NET SDK).
func BatchOperation() Layout {
	return Layout{Schema: 2145473648, Columns: []Column{
		{"operationType", Int32, Fixed, false},
		{"resourceType", Int32, Fixed, false},
		{"partitionKey", Text, Variable, false},
		{"effectivePartitionKey", Binary, Variable, false},
		{"id", Text, Variable, false},
		{"binaryId", Binary, Variable, false},
		{"resourceBody", Binary, Variable, false},
		{"indexingDirective", Text, Sparse, false},
		{"ifMatch", Text, Sparse, false},
		{"ifNoneMatch", Text, Sparse, false},
		{"timeToLiveInSeconds", Int32, Sparse, false},
		{"minimalReturnPreference", Bool, Sparse, false},
	}}
}

// BatchResult is the layout of the result of an operation.
func BatchResult() Layout {
	return Layout{Schema: 2145473649, Columns: []Column{
		{"statusCode", Int32, Fixed, false},
		{"subStatusCode", Int32, Fixed, false},
		{"eTag", Text, Variable, false},
		{"resourceBody", Binary, Variable, false},
		{"retryAfterMilliseconds", UInt32, Sparse, false},
		{"requestCharge", Float64, Sparse, false},
	}}
}

// segment and record are the layouts of RecordIO's own rows (SystemSchemas/SystemSchema.json).
func segment() Layout {
	return Layout{Schema: 2147473648, Columns: []Column{
		{"length", Int32, Fixed, false},
		{"comment", Text, Sparse, false},
		{"sdl", Text, Sparse, false},
	}}
}

func record() Layout {
	return Layout{Schema: 2147473649, Columns: []Column{{"length", Int32, Fixed, true}, {"crc32", UInt32, Fixed, true}}}
}

// presenceBytes is the size of a layout's presence bits.
func (l Layout) presenceBytes() int {
	const perByte = 8
	bits := 0
	for _, column := range l.Columns {
		if column.Storage != Sparse && !column.Required {
			bits++
		}
	}
	return (bits + perByte - 1) / perByte
}

// size is how long the header, the presence bits and the fixed columns are.
func (l Layout) size() int {
	total := headerBytes + l.presenceBytes()
	for _, column := range l.Columns {
		if column.Storage == Fixed {
			total += column.Type.bytes()
		}
	}
	return total
}

// bytes is the size of a value of fixed size; 0 for the others.
func (t Type) bytes() int {
	const short, long = 4, 8
	switch t {
	case Int32, UInt32:
		return short
	case Float64:
		return long
	default:
		return 0
	}
}
