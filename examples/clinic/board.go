package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/rlapp/rlapp/client"
)

// show prints a board on a few lines, as a display in the waiting room would.
func show(out io.Writer, b client.Board) {
	lines := map[string][]string{}
	for _, p := range b.Patients {
		text := p.TicketNumber
		if p.Place != "" {
			text += "→" + p.Place
		} else if p.EstimatedWaitMinutes > 0 {
			text += fmt.Sprintf("(%d min)", p.EstimatedWaitMinutes)
		}
		lines[string(p.Status)] = append(lines[string(p.Status)], text)
	}
	fmt.Fprintf(out, "── board %d\n", b.Version)
	for _, line := range [][2]string{
		{"in-consultation", "with the doctor"},
		{"called", "please come in "},
		{"waiting-consultation", "for the doctor "},
		{"payment-pending", "payment pending"},
		{"at-cashier", "at the cashier "},
		{"waiting-cashier", "for the cashier"},
	} {
		if patients := lines[line[0]]; len(patients) > 0 {
			fmt.Fprintf(out, "   %s  %s\n", line[1], strings.Join(patients, "  "))
		}
	}
}
