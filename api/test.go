package api

import (
	"io"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
)

// TestRef names a hardware test.
type TestRef struct {
	Test string `path:"test" doc:"Name, digest or unique prefix of a hardware test" example:"disk-speed"`
}

// AddTest is the input of TestAdd. Its body is the executable itself.
type AddTest struct {
	Name    string    `query:"name" required:"true" maxLength:"63" doc:"Name of the test: lower case words with hyphens between" example:"disk-speed"`
	Content io.Reader `json:"-"`
}

// Resolve takes the body as a stream; huma calls it.
func (in *AddTest) Resolve(ctx huma.Context) []error {
	in.Content = ctx.BodyReader()
	return nil
}

// ListTests says which part of the tests is asked for.
type ListTests struct {
	Paging
	Kind string `query:"kind" enum:"cpu,memory,disk,nic,gpu,node" doc:"Only tests of this kind of device; empty: of any"`
}

// ListTestRecords says which results are asked for.
type ListTestRecords struct {
	Paging
	Site    string         `query:"site" doc:"Only of machines of this site"`
	Machine string         `query:"machine" doc:"Only of this machine"`
	Test    string         `query:"test" doc:"Only of this test"`
	Device  string         `query:"device" doc:"Only of devices of this name" example:"nvme0n1"`
	Serial  string         `query:"serial" doc:"Only of the device of this serial number or MAC address, in whatever machine" example:"S4X7NF0M"`
	Outcome sprout.Outcome `query:"outcome" enum:"passed,failed,skipped" doc:"Only with this outcome"`
}

// TestFleetOf says which part of a test's fleet is asked for.
type TestFleetOf struct {
	Paging
	TestRef
	Site  string `query:"site" doc:"Only of machines of this site"`
	Model string `query:"model" maxLength:"200" doc:"Only devices whose model has this in its name" example:"SAMSUNG"`
}

// The operations on hardware tests.
var (
	TestAdd = Op[AddTest, sprout.Test]{
		Name: "test add", Method: "POST", Path: "/v1/tests", Role: sprout.Admin, Status: 201, Upload: true, Wide: true, Help: "Add a hardware test: an executable that declares what it is.",
	}
	TestList = Op[ListTests, Page[sprout.Test]]{
		Name: "test list", Method: "GET", Path: "/v1/tests", Role: sprout.Viewer, Help: "List the hardware tests.",
	}
	TestShow = Op[TestRef, sprout.Test]{
		Name: "test show", Method: "GET", Path: "/v1/tests/{test}", Role: sprout.Viewer, Help: "Show a hardware test, its parameters and its figures.",
	}
	TestDelete = Op[TestRef, None]{
		Name: "test delete", Method: "DELETE", Path: "/v1/tests/{test}", Role: sprout.Admin, Wide: true, Help: "Delete a hardware test that was added.",
	}
	TestFleet = Op[TestFleetOf, Page[sprout.TestFleet]]{
		Name: "test fleet", Method: "GET", Path: "/v1/tests/{test}/fleet", Role: sprout.Viewer, Help: "Show how a test's figures are spread among the devices of a model, and which are far worse than the others.",
	}
	TestContent = Op[TestRef, Download]{
		Name: "test content", Method: "GET", Path: "/v1/tests/{test}/content", Role: sprout.AgentRole, Help: "The executable of a hardware test, with ranges.",
	}
	TestHistory = Op[ListTestRecords, Page[sprout.TestRecord]]{
		Name: "test history", Method: "GET", Path: "/v1/test-results", Role: sprout.Viewer, Help: "List what hardware tests have found, the latest first.",
	}
)

func testOperations() []Operation {
	return []Operation{of(TestAdd), of(TestList), of(TestShow), of(TestDelete), of(TestContent), of(TestHistory), of(TestFleet)}
}
