// Command clinic is a day at a small clinic: a reception, two cashier's desks and two
// doctors take 30 patients through every branch of their journey, against a running
// server, while a display prints the board as it changes. It shows how programs of a
// clinic use package client.
//
//	go run ./app                # in one terminal
//	go run ./examples/clinic    # in another
//
// Nobody imports it. It stands on the other side of the network from a check-in.
package main
