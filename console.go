package sprout

import "time"

// What the centre asks of the serial console of a machine. These questions change
// what is open at a BMC; it is closed again when nobody keeps it.
const (
	OpenConsole  = "console-open"  // ConsoleQuestion → ConsoleAnswer
	KeepConsole  = "console-keep"  // ConsoleQuestion → ConsoleAnswer, within every KeepConsoleFor
	TypeConsole  = "console-type"  // ConsoleQuestion → ConsoleAnswer
	CloseConsole = "console-close" // ConsoleQuestion → ConsoleAnswer
)

// KeepConsoleFor is how long an agent keeps a view of a console of which it hears
// nothing: whoever had it open is gone, or the centre is away.
const KeepConsoleFor = 30 * time.Second

// MostKeys is how many bytes may be typed at once.
const MostKeys = 4096

// A ConsoleQuestion is about one view of a machine's console.
type ConsoleQuestion struct {
	Machine MachineID `json:"machine"`
	View    string    `json:"view"`           // a secret of whoever opened it
	Token   TokenID   `json:"token"`          // whose view it is
	Who     string    `json:"who,omitempty"`  // name of the token, for others to see
	Type    bool      `json:"type,omitempty"` // OpenConsole: it wants to type
	At      int64     `json:"at,omitempty"`   // TypeConsole: bytes typed before
	Keys    []byte    `json:"keys,omitempty"` // TypeConsole
}

// A ConsoleAnswer is what an agent says of a console. A Failure is why there is none;
// where another Typist than who asks is named, it was refused.
type ConsoleAnswer struct {
	Stretch string    `json:"stretch,omitempty"` // which opening at the BMC it is
	At      int64     `json:"at,omitempty"`      // what the console said in it, to the end of Recent
	Recent  []byte    `json:"recent,omitempty"`  // what it said last
	Typist  string    `json:"typist,omitempty"`  // who may type
	Since   time.Time `json:"since,omitzero"`    // from when on
	Typed   int64     `json:"typed,omitempty"`   // bytes taken of this view
	Gone    string    `json:"gone,omitempty"`    // why the view is no more
	Failure *Failure  `json:"failure,omitempty"`
}

// A ConsoleOutput is what a machine's console says now. It is never stored; what is
// lost shows in At.
type ConsoleOutput struct {
	Machine MachineID `json:"machine"`
	Stretch string    `json:"stretch"`
	At      int64     `json:"at"` // bytes of the stretch before these
	Data    []byte    `json:"data,omitempty"`
	Ended   string    `json:"ended,omitempty"` // why the console has ended
}

// A ConsoleEvent is one thing of a console that is streamed.
type ConsoleEvent struct {
	What   ConsoleWhat `json:"what" enum:"open,output,lost,end" doc:"open: it is open; output: what the console says; lost: some of that did not arrive; end: it has ended, and why" example:"output"`
	View   string      `json:"view,omitempty" doc:"Of open: the secret by which keys are typed; none: this stream only reads" example:"sprout-secret"`
	Typist string      `json:"typist,omitempty" doc:"Of open: who may type" example:"anna"`
	Data   []byte      `json:"data,omitempty" doc:"Of output: bytes of the serial port, as they are" example:"bG9naW46IA=="`
	Lost   int64       `json:"lost,omitempty" doc:"Of lost: how many bytes; absent: nobody knows" example:"512"`
	Reason string      `json:"reason,omitempty" doc:"Of end: why" example:"the BMC has ended it"`
	Failed bool        `json:"failed,omitempty" doc:"Of end: nobody asked for it" example:"true"`
}

// A ConsoleWhat is what a ConsoleEvent tells.
type ConsoleWhat string

const (
	ConsoleOpened ConsoleWhat = "open"
	ConsoleSays   ConsoleWhat = "output"
	ConsoleLost   ConsoleWhat = "lost"
	ConsoleEnds   ConsoleWhat = "end"
)
