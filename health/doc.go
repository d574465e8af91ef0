// Package health is what a process of Sprout watches of itself and of what it
// stands on: its disk, its clock. What is wrong is a sprout.Trouble, kept in a
// set that says when it changes. The package must not know who is told: agents
// tell their heartbeats, the server its list of problems.
package health
