// Calls that are hard to count: on stacks that grow and move, in goroutines that change threads, left by panics.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var deep, grow, hop, recovered, leaf int64

//go:noinline
func Deep(n int) int {
	atomic.AddInt64(&deep, 1)
	if n == 0 {
		return 0
	}
	return Deep(n-1) + 1
}

// Grow needs more stack at each call: its frame is large.
//
//go:noinline
func Grow(n int) byte {
	atomic.AddInt64(&grow, 1)
	var room [2048]byte
	room[n&2047] = byte(n)
	if n > 0 {
		room[(n+1)&2047] = Grow(n - 1)
	}
	return room[n&2047]
}

// Hop goes on in another thread, most of the time.
//
//go:noinline
func Hop(id int, name string) (int, error) {
	atomic.AddInt64(&hop, 1)
	runtime.Gosched()
	if id%10 == 0 {
		time.Sleep(time.Microsecond)
	}
	if id%7 == 0 {
		return id, fmt.Errorf("no %s", name)
	}
	return -id, nil
}

//go:noinline
func fails(n int) {
	if n == 0 {
		panic("fails")
	}
	fails(n - 1)
}

//go:noinline
func Recovers(n int) (result int) {
	atomic.AddInt64(&recovered, 1)
	defer func() {
		if problem := recover(); problem != nil {
			result = -n
		}
	}()
	if n%2 == 0 {
		fails(n % 50)
	}
	return n
}

//go:noinline
func Leaf(n int) int { return n*3 + 1 }

func one(id, rounds int) {
	for round := 0; round < rounds; round++ {
		Deep(20 + id%80)
		Grow(id % 20)
		Hop(id, strconv.Itoa(id))
		if Recovers(id) != id && id%2 == 1 {
			panic("wrong result")
		}
		Leaf(id)
		atomic.AddInt64(&leaf, 1)
	}
}

func main() {
	goroutines, _ := strconv.Atoi(os.Args[1])
	rounds, _ := strconv.Atoi(os.Args[2])
	var all sync.WaitGroup
	for id := 0; id < goroutines; id++ {
		all.Add(1)
		go func(id int) {
			defer all.Done()
			one(id, rounds)
		}(id)
	}
	go func() {
		for {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}()
	all.Wait()
	fmt.Println("Deep", deep)
	fmt.Println("Grow", grow)
	fmt.Println("Hop", hop)
	fmt.Println("Leaf", leaf)
	fmt.Println("Recovers", recovered)
}
