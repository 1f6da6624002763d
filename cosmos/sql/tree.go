package sql

// Span is a half-open range of byte offsets into the query text.
type Span struct{ Start, End int }

// Node is anything in the tree that has a place.
type Node interface {
	// Position returns where in the query text the node was written.
	Position() Span
}

// Position makes every node that embeds a Span a Node.
func (s Span) Position() Span { return s }

// Query is one SELECT statement, the whole text or a subquery.
type Query struct {
	Span
	Distinct bool
	// Top is nil, a number literal or a parameter.
	Top Expr
	// Star is SELECT *; then Value and Items are empty.
	Star bool
	// Value is the expression of SELECT VALUE; then Items is empty.
	Value Expr
	Items []Item
	// From is empty for a query without FROM; otherwise the first source and then its joins.
	From    []Source
	Where   Expr
	GroupBy []Expr
	OrderBy []Order
	// Offset and Limit are both nil, or each a number literal or a parameter.
	Offset, Limit Expr
}

// Item is one expression of a SELECT list.
type Item struct {
	Span
	Expr Expr
	// Alias is the name after AS, or "".
	Alias string
}

// Order is one expression of ORDER BY.
type Order struct {
	Span
	Expr       Expr
	Descending bool
}

// Source is one input set of FROM: the container or a path below a name, or a subquery.
type Source struct {
	Span
	// Iterate is true for `alias IN collection`, which yields the elements of an array.
	Iterate bool
	// Alias is the name that the rest of the query uses; "" when a subquery has none.
	Alias string
	// Root is the first name of the path; Path the steps below it. Empty for a subquery.
	Root     string
	Path     []Step
	Subquery *Query
}

// Step is one step of a path in FROM: a name, or an array index when Name is "" and Indexed.
type Step struct {
	Span
	Name    string
	Index   int
	Indexed bool
}

// Expr is a scalar expression.
type Expr interface {
	Node
	expr()
}

// LiteralKind says which of the constants a Literal is.
type LiteralKind int

// Kinds of literals.
const (
	LiteralUndefined LiteralKind = iota
	LiteralNull
	LiteralBool
	LiteralNumber
	LiteralString
)

// Literal is a constant.
type Literal struct {
	Span
	Kind   LiteralKind
	Bool   bool
	Number float64
	String string
}

// Parameter is @name; Name includes the @.
type Parameter struct {
	Span
	Name string
}

// Name is an identifier that stands alone: an alias of FROM or GROUP BY.
type Name struct {
	Span
	Name string
}

// Member is X.Name.
type Member struct {
	Span
	X    Expr
	Name string
}

// Index is X[Key].
type Index struct {
	Span
	X, Key Expr
}

// Unary is an operator before an operand: - + ~ NOT.
type Unary struct {
	Span
	Operator string
	X        Expr
}

// Binary is an arithmetic, bitwise, comparison or concatenation operator, or ??.
type Binary struct {
	Span
	Operator string
	X, Y     Expr
}

// Logical is a chain of one operator, AND or OR, over two terms or more.
type Logical struct {
	Span
	Operator string
	Terms    []Expr
}

// Conditional is Test ? Then : Else.
type Conditional struct {
	Span
	Test, Then, Else Expr
}

// Between is X [NOT] BETWEEN Low AND High.
type Between struct {
	Span
	Not          bool
	X, Low, High Expr
}

// In is X [NOT] IN (List…).
type In struct {
	Span
	Not  bool
	X    Expr
	List []Expr
}

// Like is X [NOT] LIKE Pattern [ESCAPE 'c'].
type Like struct {
	Span
	Not        bool
	X, Pattern Expr
	// Escape is the escape character as a string, or "".
	Escape string
}

// Call is a function call. Name is as written; UDF marks `udf.name(…)`.
type Call struct {
	Span
	Name string
	UDF  bool
	Args []Expr
}

// Array is [elements…].
type Array struct {
	Span
	Elements []Expr
}

// Object is {'name': value, …}.
type Object struct {
	Span
	Fields []Field
}

// Field is one name and value of an Object.
type Field struct {
	Span
	Name  string
	Value Expr
}

// SubqueryKind says how the rows of a subquery become one value.
type SubqueryKind int

// Kinds of subqueries in expressions.
const (
	// SubqueryScalar is (SELECT …): the single row's value.
	SubqueryScalar SubqueryKind = iota
	// SubqueryExists is EXISTS(SELECT …).
	SubqueryExists
	// SubqueryArray is ARRAY(SELECT …).
	SubqueryArray
	// SubqueryAll is ALL(SELECT …).
	SubqueryAll
	// SubqueryFirst is FIRST(SELECT …).
	SubqueryFirst
	// SubqueryLast is LAST(SELECT …).
	SubqueryLast
)

// Subquery is a query used as an expression.
type Subquery struct {
	Span
	Kind  SubqueryKind
	Query *Query
}

func (*Literal) expr()     {}
func (*Parameter) expr()   {}
func (*Name) expr()        {}
func (*Member) expr()      {}
func (*Index) expr()       {}
func (*Unary) expr()       {}
func (*Binary) expr()      {}
func (*Logical) expr()     {}
func (*Conditional) expr() {}
func (*Between) expr()     {}
func (*In) expr()          {}
func (*Like) expr()        {}
func (*Call) expr()        {}
func (*Array) expr()       {}
func (*Object) expr()      {}
func (*Subquery) expr()    {}
