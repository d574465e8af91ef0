package api

import (
	"sprout"
	"sprout/alloc"
)

// RuleRef names a rule of acceptance.
type RuleRef struct {
	Rule string `path:"rule" doc:"Name of a rule of acceptance"`
}

// NewRule is what a rule is made of.
type NewRule struct {
	Name     string      `json:"name" maxLength:"63" doc:"A DNS label" example:"lab-r650"`
	Priority int         `json:"priority,omitempty" doc:"The highest that a machine meets takes it; of equal ones the oldest" example:"10"`
	Match    Constraints `json:"match" doc:"What a machine must meet, besides that it waits to be accepted"`
	sprout.RuleGift
}

// CreateRule is the input of RuleCreate and RuleTry.
type CreateRule struct {
	Body NewRule
}

// SetRule is the input of RuleSet.
type SetRule struct {
	RuleRef
	Body struct {
		Priority    *int         `json:"priority,omitempty" doc:"The highest that a machine meets takes it; of equal ones the oldest" example:"10"`
		Match       *Constraints `json:"match,omitempty" doc:"In place of all that it had to meet"`
		MachineName *string      `json:"machineName,omitempty" maxLength:"200" doc:"What machines are called; empty: as they were found" example:"r650-{serial}"`
		Tags        *[]string    `json:"tags,omitempty" maxItems:"64" doc:"In place of all that it gave" example:"[\"lab\"]"`
		Pool        *string      `json:"pool,omitempty" maxLength:"200" doc:"Empty: none" example:"lab"`
		Zone        *string      `json:"zone,omitempty" maxLength:"200" doc:"Empty: none" example:"a"`
		BMC         *sprout.BMC  `json:"bmc,omitempty" doc:"How machines are powered; without a password that of before stays, where the user does"`
		Commission  *bool        `json:"commission,omitempty" doc:"Commission machines at once" example:"true"`
	}
}

// RunRule is the input of RuleRun.
type RunRule struct {
	RuleRef
	Body struct {
		Plan bool `json:"plan,omitempty" doc:"Say what it would take, and take nothing" example:"true"`
	}
}

// A RuleReport is a rule with what machines must meet.
type RuleReport struct {
	sprout.Rule
	Match Constraints `json:"match" doc:"What a machine must meet, besides that it waits to be accepted"`
}

// A RuleRound is what came of asking a rule about the machines that wait.
type RuleRound struct {
	Rule    string     `json:"rule" doc:"Name" example:"lab-r650"`
	Waiting int        `json:"waiting" doc:"Machines that wait to be accepted" example:"31"`
	Items   []RuleItem `json:"items" doc:"Those that meet it; the others are left as they are"`
}

// A RuleItem is what came of one machine that meets a rule.
type RuleItem struct {
	Machine sprout.MachineID `json:"machine"`
	Name    string           `json:"name" doc:"As it was found" example:"new-4c4c4544"`
	Site    string           `json:"site" doc:"Name" example:"lon1"`
	Outcome string           `json:"outcome" enum:"taken,would-take,left" doc:"taken: it is accepted; would-take: it would be; left: it waits, and why says for what" example:"would-take"`
	As      string           `json:"as,omitempty" doc:"What it is called then" example:"r650-4c4c4544"`
	Why     string           `json:"why,omitempty" doc:"Why it is left" example:"rule first-choice takes it before"`
}

// A RuleExplanation is what rules make of a machine.
type RuleExplanation struct {
	Machine string        `json:"machine" doc:"Name"`
	State   sprout.State  `json:"state"`
	TakenBy string        `json:"takenBy,omitempty" doc:"The rule that took it in; absent: none did" example:"lab-r650"`
	Rules   []RuleVerdict `json:"rules" doc:"Every rule, in the order in which they are asked"`
}

// A RuleVerdict is what one rule makes of a machine.
type RuleVerdict struct {
	Rule     string       `json:"rule" doc:"Name" example:"lab-r650"`
	Priority int          `json:"priority" doc:"The highest is asked first" example:"10"`
	Fits     bool         `json:"fits" doc:"It meets all constraints" example:"true"`
	First    bool         `json:"first" doc:"And no rule before it does: this one takes it" example:"true"`
	As       string       `json:"as,omitempty" doc:"What it would be called" example:"r650-4c4c4544"`
	Why      string       `json:"why,omitempty" doc:"Why it is not taken, though it fits" example:"another machine of the site is called so"`
	Lacks    []alloc.Lack `json:"lacks" doc:"Every constraint that it does not meet, with what it has"`
}

// The operations on rules of acceptance. They reach over all sites.
var (
	RuleCreate = Op[CreateRule, RuleReport]{
		Name: "rule create", Method: "POST", Path: "/v1/rules", Role: sprout.Admin, Wide: true, Help: "Make a rule that takes in machines when they are discovered from now on.",
	}
	RuleTry = Op[CreateRule, RuleRound]{
		Name: "rule try", Method: "POST", Path: "/v1/rules/try", Role: sprout.Admin, Wide: true, Help: "Say which waiting machines a rule would take, without making it.",
	}
	RuleList = Op[Paging, Page[RuleReport]]{
		Name: "rule list", Method: "GET", Path: "/v1/rules", Role: sprout.Viewer, Wide: true, Help: "List the rules of acceptance, in the order in which they are asked.",
	}
	RuleShow = Op[RuleRef, RuleReport]{
		Name: "rule show", Method: "GET", Path: "/v1/rules/{rule}", Role: sprout.Viewer, Wide: true, Help: "Show a rule: what machines must meet, and what they get.",
	}
	RuleSet = Op[SetRule, RuleReport]{
		Name: "rule set", Method: "PATCH", Path: "/v1/rules/{rule}", Role: sprout.Admin, Wide: true, Help: "Change a rule. Machines that it took stay as they are.",
	}
	RuleDelete = Op[RuleRef, None]{
		Name: "rule delete", Method: "DELETE", Path: "/v1/rules/{rule}", Role: sprout.Admin, Wide: true, Help: "Delete a rule. Machines that it took stay as they are.",
	}
	RuleRun = Op[RunRule, RuleRound]{
		Name: "rule run", Method: "POST", Path: "/v1/rules/{rule}/run", Role: sprout.Admin, Wide: true, Help: "Have a rule take the machines that wait already.",
	}
	RuleExplain = Op[MachineRef, RuleExplanation]{
		Name: "rule explain", Method: "GET", Path: "/v1/machines/{machine}/rules", Role: sprout.Viewer, Wide: true, Help: "Say which rule took a machine, and what each makes of it.",
	}
)

func ruleOperations() []Operation {
	return []Operation{of(RuleCreate), of(RuleTry), of(RuleList), of(RuleShow), of(RuleSet), of(RuleDelete), of(RuleRun), of(RuleExplain)}
}
