// Functions with arguments and results of many shapes. Each prints what it got and what it gives, as the tracer is to see it.
package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

type Point struct{ X, Y int }
type Narrow struct {
	A int8
	B bool
	C uint16
	D int32
}
type Nested struct {
	Name string
	In   Point
	One  [1]int
	Nil  struct{}
	Last uint8
}
type Big struct {
	A, B, C, D, E, F, G, H, I, J int
	Name                         string
}
type Server struct{ hits int }
type Shape interface{ Area() int }

func (p Point) Area() int { return p.X * p.Y }

var lines sync.Mutex

// The number of the running goroutine, as the runtime itself prints it.
func id() string {
	text := make([]byte, 64)
	text = text[:runtime.Stack(text, false)]
	return strings.Fields(string(text))[1]
}

func say(format string, values ...interface{}) {
	lines.Lock()
	defer lines.Unlock()
	fmt.Printf("go="+id()+" "+format+"\n", values...)
}

//go:noinline
func Ints(a int, b int32, c uint8, d int16, e uint64) (int, int8) {
	say("Ints a=%d b=%d c=%d d=%d e=%d", a, b, c, d, e)
	sum, low := a+int(b)+int(c)+int(d)+int(e), int8(b)
	say("Ints gives %d %d", sum, low)
	return sum, low
}

//go:noinline
func Text(s, t string) string {
	say("Text s=%s t=%s len=%d", s, t, len(s))
	both := s + "/" + t
	say("Text gives %s", both)
	return both
}

//go:noinline
func Structs(p Point, n Narrow, q *Nested) (Nested, Point) {
	say("Structs X=%d Y=%d A=%d C=%d D=%d q.Name=%s q.Last=%d", p.X, p.Y, n.A, n.C, n.D, q.Name, q.Last)
	result := Nested{Name: q.Name + "!", In: Point{p.Y, p.X}, One: [1]int{p.X}, Last: 200}
	say("Structs gives %s %d %d %d %d", result.Name, result.In.X, result.One[0], result.Last, p.X)
	return result, p
}

//go:noinline
func Stack(a, b, c, d, e, f, g, h, i, j int, k int8, s string) (x, y, z int, array [2]int) {
	say("Stack a=%d i=%d j=%d k=%d s=%s", a, i, j, k, s)
	x, y, z, array = a+j, i, int(k), [2]int{j, i}
	say("Stack gives %d %d %d %d %d", x, y, z, array[0], array[1])
	return
}

//go:noinline
func Large(b Big, after int) (int, Big) {
	say("Large A=%d J=%d Name=%s after=%d", b.A, b.J, b.Name, after)
	b.A = after
	say("Large gives %d %d %s", after+1, b.A, b.Name)
	return after + 1, b
}

//go:noinline
func Mixed(f float64, a int, g float32, b int, c complex128, d int) (float64, int) {
	say("Mixed a=%d b=%d d=%d", a, b, d)
	say("Mixed gives %d", a+b+d)
	return f + float64(g) + real(c), a + b + d
}

//go:noinline
func (s *Server) Slices(v []int, m map[string]int, f func(int) int, shape Shape) (n int, err error) {
	s.hits++
	say("Slices hits=%d len=%d cap=%d second=%d", s.hits-1, len(v), cap(v), v[1])
	n = f(v[0]) + m["x"] + shape.Area()
	say("Slices gives %d", n)
	return n, nil
}

//go:noinline
func Blank(_ int, b int, _ string, c int8) int {
	say("Blank b=%d c=%d", b, c)
	say("Blank gives %d", b+int(c))
	return b + int(c)
}

//go:noinline
func Max[T int | string](a, b T) T {
	say("Max a=%v b=%v", a, b)
	if a > b {
		say("Max gives %v", a)
		return a
	}
	say("Max gives %v", b)
	return b
}

type List[T any] struct{ items []T }

//go:noinline
func (l *List[T]) Push(item T, count int) int {
	say("Push len=%d item=%v count=%d", len(l.items), item, count)
	for i := 0; i < count; i++ {
		l.items = append(l.items, item)
	}
	say("Push gives %d", len(l.items))
	return len(l.items)
}

func round(id int) {
	server := &Server{hits: id}
	Ints(id*1000, int32(-id), uint8(200+id), int16(-300), 1<<40)
	Text("text"+strconv.Itoa(id), "")
	Structs(Point{id, -id}, Narrow{int8(-id), true, 65535, -7}, &Nested{Name: "n" + strconv.Itoa(id), Last: uint8(id)})
	Stack(id, 2, 3, 4, 5, 6, 7, 8, 9, -10*id, int8(-id), "last")
	Large(Big{A: id, J: -id, Name: "big"}, id+5)
	Mixed(1.5, id, 2.5, id*2, complex(1, 2), id*3)
	server.Slices([]int{id, id + 1, 3}, map[string]int{"x": 7}, func(n int) int { return n * 2 }, Point{2, id})
	Blank(1, id, "x", int8(-id))
	(&List[int]{}).Push(id, 3)
	Max(id, 2)
	Max("a", "b"+strconv.Itoa(id))
}

func main() {
	var all sync.WaitGroup
	for id := 1; id <= 20; id++ {
		all.Add(1)
		go func(id int) {
			defer all.Done()
			round(id)
			runtime.Gosched()
			round(id + 50)
		}(id)
	}
	all.Wait()
}
