// Package scenario holds stories of operators (*.txtar), told through the real
// CLI to a real control plane and real agents; only the machines are simulated
// (package sim). Its tests run them: a control plane in process on a PostgreSQL
// database and an embedded bus of its own for each story, agents enrolled
// through a WAN that can be cut, everything on loopback.
//
// The words of the stories, besides those of testscript:
//
//	stage SITE [MACHINE…]                 a site with agent, network and image debian-12, and machines that are ready
//	sprout ARG…                           the CLI; ! sprout: it must fail
//	exits CODE sprout ARG…                the CLI, with this exit code
//	let NAME sprout ARG…                  keeps what the CLI prints in $NAME
//	site-agent SITE [TOKEN]               enrols and starts the agent of a site; after env AT_ONCE=N at most N of
//	                                      its machines download at once; after env SLOW_TURN=D a queue that stands still for
//	                                      so long is a problem
//	kill-agent SITE, restart-agent SITE   stops it where it is; starts it again. After env AGENT=apart
//	                                      agents are processes of their own, and this is kill -9
//	restart-server                        stops the control plane without grace and starts it again
//	wan cut|heal                          the link between all agents and the control plane
//	away MACHINE SITE NAME                for $SPROUT_AWAY: the machine loses power and boots by the network, a host that
//	                                      nobody knows leases an address, and the site's DNS is asked for the name and
//	                                      knows its address, again and again; sets $rounds
//	journal SITE                          notes what the agent of the site, which is alone, has to tell; heard SITE: the
//	                                      centre has heard each of it once and in order, within 5 s for 10,000 facts
//	plug NAME SITE [uefi] [mac=M] [disk=SERIAL:BYTES[:removable|:frozen]]… [fault=F]…
//	                                      racks a machine, off; sets $NAME_mac and $NAME_bmc
//	press NAME                            presses its power button
//	unplug NAME [during STEP[:PERCENT]]   takes its power away, now or once it comes there
//	hold NAME during STEP[:PERCENT]       the machine waits there once; go-on NAME lets it go on
//	bmc NAME busy N                       its BMC answers N requests with 503
//	bmc NAME without-media                its BMC has no virtual media from now on
//	bmc NAME without-console, bmc NAME hangs-up
//	                                      its BMC has no serial console; it ends those that are open
//	says NAME WORDS                       the machine says a line on its serial port
//	type NAME WORDS                       types at a command line that was begun by watch, and Enter
//	drive NAME holds nothing|media        what is in the virtual drive of its BMC
//	break NAME FAULT                      gives it a fault, such as dead-disk@erase=SERIAL
//	heal NAME                             ends its faults
//	await machine NAME state|power WORD   as the control plane sees it
//	await agent SITE online|offline       as the control plane sees it
//	await sim NAME STEP [WORDS]           as the machine itself sees it, after what was awaited before
//	await problem CODE NAME               as the control plane sees it; ! await problem: until it is over
//	await machines N                      so many are known
//	await address IP free                 nobody has it any more, as the control plane sees it
//	await serial NAME                     its BMC's console is open
//	await console MACHINE WORDS           its console has said a line with the words, as the control plane sees it
//	await waits MACHINE WORDS             its work waits for something with the words
//	await boots MACHINE N M               N + M boots of it are on record, as far as boots are kept
//	await idle MACHINE                    no workflow runs on it
//	disk NAME holds IMAGE|nothing         what is on the simulated machine's disk
//	corrupt-cache SITE                    flips a bit in every image that the site's agent has cached
//	squat SITE IP MAC                     somebody who was not given it uses an address; ! squat SITE IP: no more
//	lookup SITE NAME|IP                   asks the site's DNS; ! lookup: there is no such name
//	dig SITE ARG…                         asks it by dig
//	nsupdate SITE KEY|- COMMAND…          changes a name there by nsupdate; ! nsupdate: it is refused
//	prompt SITE                           over a slow link a change is answered there in less than there and back
//	expire-tokens                         makes every enrolment token too old
//	count N WORDS FILE                    N lines of the file (or stdout) hold the words
//	random FILE BYTES                     makes a file that does not compress
//	watch NAME sprout ARG…                runs a command line until the story ends, through a link that outlives the control plane
//	told NAME WORDS                       it has printed a line with the words (a regular expression), after what was told before
//	expand FILE                           replaces $NAME in a file by the environment's value
package scenario
