// Package store holds all SQL of the control plane, one file a noun, handwritten
// and guarded: PostgreSQL is the truth of Sprout. It must not know HTTP, NATS,
// steps of workflows, or how anything is decided.
//
// Reads are methods that need no transaction; s.In(tx) gives the same methods
// within one. Writes take the transaction of Store.Tx, so that a move, its
// history row, its audit record and its outbox row are one commit.
//
// What a site must know goes out by itself: writes of sites, subnets, machines,
// BMCs, interfaces, addresses (as reservations) and records queue their
// sprout.Change. Callers replicate only what the store cannot see, site work
// and its cancellation, with Replicate. Store.Tx writes what is queued last before
// the commit. Neither changes nor audit records take a lock that writers share:
// NumberChanges gives changes their site's numbers, and SealAudit chains records,
// afterwards.
package store
