package outbox

// background is work that goes on while something else is done. A nil one is done.
type background[T any] struct {
	done   chan struct{}
	value  T
	failed error
}

func inBackground[T any](work func() (T, error)) *background[T] {
	b := &background[T]{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.value, b.failed = work()
	}()
	return b
}

// wait returns the outcome of the work once it is done.
func (b *background[T]) wait() (value T, err error) {
	if b == nil {
		return value, nil
	}
	<-b.done
	return b.value, b.failed
}

// err waits for the work and returns its error.
func (b *background[T]) err() error {
	_, err := b.wait()
	return err
}
