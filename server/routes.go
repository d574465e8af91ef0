package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sprout/api"
)

// routes registers every operation that package api declares. A test holds this
// list to that one.
func (s *Server) routes(mux *http.ServeMux) {
	a := api.New(mux)
	route(s, a, api.SiteCreate, s.siteCreate)
	route(s, a, api.SiteList, s.siteList)
	route(s, a, api.SiteShow, s.siteShow)
	route(s, a, api.SiteDelete, s.siteDelete)

	route(s, a, api.AgentList, s.agentList)
	route(s, a, api.AgentShow, s.agentShow)
	route(s, a, api.AgentDelete, s.agentDelete)
	route(s, a, api.AgentTokenCreate, s.agentTokenCreate)
	route(s, a, api.AgentEnrol, s.agentEnrol)

	route(s, a, api.NetworkCreate, s.networkCreate)
	route(s, a, api.NetworkList, s.networkList)
	route(s, a, api.NetworkShow, s.networkShow)
	route(s, a, api.NetworkUpdate, s.networkUpdate)
	route(s, a, api.NetworkDelete, s.networkDelete)
	route(s, a, api.SubnetCreate, s.subnetCreate)
	route(s, a, api.SubnetNext, s.subnetNext)
	route(s, a, api.SubnetList, s.subnetList)
	route(s, a, api.SubnetShow, s.subnetShow)
	route(s, a, api.SubnetUpdate, s.subnetUpdate)
	route(s, a, api.SubnetDelete, s.subnetDelete)
	route(s, a, api.RangeCreate, s.rangeCreate)
	route(s, a, api.RangeUpdate, s.rangeUpdate)
	route(s, a, api.RangeDelete, s.rangeDelete)
	route(s, a, api.AddressList, s.addressList)
	route(s, a, api.AddressAllocate, s.addressAllocate)
	route(s, a, api.AddressHold, s.addressHold)
	route(s, a, api.AddressShow, s.addressShow)
	route(s, a, api.AddressRelease, s.addressRelease)
	route(s, a, api.AddressProbe, s.addressProbe)
	route(s, a, api.LeaseList, s.leaseList)
	route(s, a, api.DHCPExplain, s.dhcpExplain)
	route(s, a, api.DHCPOptionSet, s.dhcpOptionSet)
	route(s, a, api.DHCPOptionList, s.dhcpOptionList)
	route(s, a, api.DHCPOptionShow, s.dhcpOptionShow)
	route(s, a, api.DHCPOptionUnset, s.dhcpOptionUnset)

	route(s, a, api.DNSRecordCreate, s.dnsRecordCreate)
	route(s, a, api.DNSRecordList, s.dnsRecordList)
	route(s, a, api.DNSRecordShow, s.dnsRecordShow)
	route(s, a, api.DNSRecordDelete, s.dnsRecordDelete)
	route(s, a, api.DNSKeyCreate, s.dnsKeyCreate)
	route(s, a, api.DNSKeyList, s.dnsKeyList)
	route(s, a, api.DNSKeyShow, s.dnsKeyShow)
	route(s, a, api.DNSKeyDelete, s.dnsKeyDelete)
	route(s, a, api.DNSPolicyShow, s.dnsPolicyShow)
	route(s, a, api.DNSPolicySet, s.dnsPolicySet)

	route(s, a, api.AllocationCreate, s.allocationCreate)
	route(s, a, api.AllocationList, s.allocationList)
	route(s, a, api.AllocationShow, s.allocationShow)
	route(s, a, api.AllocationExtend, s.allocationExtend)
	route(s, a, api.AllocationCancel, s.allocationCancel)
	route(s, a, api.RuleCreate, s.ruleCreate)
	route(s, a, api.RuleTry, s.ruleTry)
	route(s, a, api.RuleList, s.ruleList)
	route(s, a, api.RuleShow, s.ruleShow)
	route(s, a, api.RuleSet, s.ruleSet)
	route(s, a, api.RuleDelete, s.ruleDelete)
	route(s, a, api.RuleRun, s.ruleRun)
	route(s, a, api.RuleExplain, s.ruleExplain)
	route(s, a, api.QuotaSet, s.quotaSet)
	route(s, a, api.QuotaList, s.quotaList)
	route(s, a, api.QuotaShow, s.quotaShow)
	route(s, a, api.QuotaDelete, s.quotaDelete)

	route(s, a, api.MachineCreate, s.machineCreate)
	route(s, a, api.MachineImport, s.machineImport)
	route(s, a, api.MachineList, s.machineList)
	route(s, a, api.MachineShow, s.machineShow)
	route(s, a, api.MachineUpdate, s.machineUpdate)
	route(s, a, api.MachineDelete, s.machineDelete)
	route(s, a, api.MachineAccept, s.machineAccept)
	route(s, a, api.MachineCommission, s.machineCommission)
	route(s, a, api.MachineAllocate, s.machineAllocate)
	route(s, a, api.MachineDeploy, s.machineDeploy)
	route(s, a, api.MachineRelease, s.machineRelease)
	route(s, a, api.MachineRescue, s.machineRescue)
	route(s, a, api.MachineUnrescue, s.machineUnrescue)
	route(s, a, api.MachineMarkBroken, s.machineMarkBroken)
	route(s, a, api.MachineMarkFixed, s.machineMarkFixed)
	route(s, a, api.MachineRetire, s.machineRetire)
	route(s, a, api.MachineLock, s.machineLock)
	route(s, a, api.MachineUnlock, s.machineUnlock)
	route(s, a, api.MachineHistory, s.machineHistory)
	route(s, a, api.MachineBulk, s.machineBulk)
	route(s, a, api.MachineNetworkShow, s.machineNetworkShow)
	route(s, a, api.MachineHardwareShow, s.machineHardwareShow)
	route(s, a, api.MachineHardwareAccept, s.machineHardwareAccept)
	route(s, a, api.MachineNetworkSet, s.machineNetworkSet)

	route(s, a, api.MachineConsole, s.machineConsole)
	route(s, a, api.MachineConsoleType, s.machineConsoleType)

	route(s, a, api.MachineExplain, s.machineExplain)
	route(s, a, api.BootList, s.bootList)
	route(s, a, api.BootShow, s.bootShow)

	route(s, a, api.ModelList, s.modelList)
	route(s, a, api.ModelShow, s.modelShow)
	route(s, a, api.ModelSet, s.modelSet)

	route(s, a, api.TestAdd, s.testAdd)
	route(s, a, api.TestList, s.testList)
	route(s, a, api.TestShow, s.testShow)
	route(s, a, api.TestDelete, s.testDelete)
	route(s, a, api.TestContent, s.testContent)
	route(s, a, api.TestHistory, s.testHistory)
	route(s, a, api.TestFleet, s.testFleet)

	route(s, a, api.ImageImport, s.imageImport)
	route(s, a, api.ImageFetch, s.imageFetch)
	route(s, a, api.ImageList, s.imageList)
	route(s, a, api.ImageShow, s.imageShow)
	route(s, a, api.ImageDelete, s.imageDelete)
	route(s, a, api.ImageContent, s.imageContent)
	route(s, a, api.ImageAliasSet, s.imageAliasSet)
	route(s, a, api.ImageAliasList, s.imageAliasList)
	route(s, a, api.ImageAliasShow, s.imageAliasShow)
	route(s, a, api.ImageAliasDelete, s.imageAliasDelete)

	route(s, a, api.WorkflowList, s.workflowList)
	route(s, a, api.WorkflowShow, s.workflowShow)
	route(s, a, api.WorkflowRetry, s.workflowRetry)
	route(s, a, api.WorkflowCancel, s.workflowCancel)
	route(s, a, api.WorkflowExplain, s.workflowExplain)

	route(s, a, api.EventWatch, s.eventWatch)
	route(s, a, api.ProblemList, s.problemList)
	route(s, a, api.ProblemShow, s.problemShow)
	route(s, a, api.AuditList, s.auditList)
	route(s, a, api.AuditShow, s.auditShow)
	route(s, a, api.AuditExport, s.auditExport)
	route(s, a, api.AuditVerify, s.auditVerify)
	route(s, a, api.LoginShow, s.loginShow)
	route(s, a, api.LoginCreate, s.loginCreate)
	route(s, a, api.TokenCreate, s.tokenCreate)
	route(s, a, api.TokenList, s.tokenList)
	route(s, a, api.TokenWhoami, s.tokenWhoami)
	route(s, a, api.TokenRevoke, s.tokenRevoke)
	route(s, a, api.ProviderList, s.providerList)
}

// route registers one operation behind the guard; what the edge masks is logged.
func route[In, Out any](s *Server, a huma.API, op api.Op[In, Out], handle func(context.Context, *In) (Out, error)) {
	api.Register(a, op, s.guard, func(ctx context.Context, in *In) (Out, error) {
		out, err := carryOut(ctx, s, op.Spec(), in, handle)
		if err != nil {
			s.logInternal(ctx, op.Name, err)
		}
		return out, elsewhere(ctx, op.Spec(), err)
	})
}
