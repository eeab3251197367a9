/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD SVM behind struct vcpu_ops: one VMCB, since there is one virtual processor to
 * a server. APM 2, chapter 15.
 *
 * What is intercepted: all that is undetermined (RDTSC, RDPMC), all that belongs to
 * the machine (ports, MSRs, CPUID, HLT), the server's own interrupts, and CR0, CR4
 * and CR8 writes, so that the guest gets #GP for what would make VMRUN fail. (CR4 is
 * read through us too: its MCE bit is always on underneath.) CR3,
 * INVLPG and page faults are the guest's own: nested paging.
 *
 * External interrupts go in by V_IRQ alone: when the guest can take one at the entry,
 * it does; else the VINTR intercept tells when. (QEMU delivers an EVENTINJ of type 0
 * twice when the slice ends right there.)
 */
#include "kernel/svm/svm.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/vcpu.h"
#include "kernel/vcpu_fpu.h"

TRACE_FILE("svm", TRACE_INFO);

#define CPUID_SVM 0x8000000a
#define GUEST_ASID 1

/* What run.S works on; offsets there. */
struct svm_run {
	uint64_t *gpr;
	uint64_t vmcb_physical;
	uint64_t host_vmcb_physical;
	volatile uint32_t *timer;
	uint64_t timer_count;
	uint64_t tsc_entry;
	uint64_t tsc_exit;
};
BUILD_ASSERT(offsetof(struct svm_run, timer_count) == 32);
BUILD_ASSERT(offsetof(struct svm_run, tsc_exit) == 48);

static struct svm_vmcb *vmcb;
static struct svm_run run_frame;
static uint32_t features;

static const char *svm_unusable(void)
{
	return cpu_refusal(cpu_facts());
}

static void set_intercepts(void)
{
	vmcb->intercept_cr = SVM_INTERCEPT_CR_WRITE(0) | SVM_INTERCEPT_CR_WRITE(4) |
			     SVM_INTERCEPT_CR_WRITE(8) | SVM_INTERCEPT_CR_READ(4);
	vmcb->intercept1 = SVM_INTERCEPT1_INTR | SVM_INTERCEPT1_NMI | SVM_INTERCEPT1_INIT |
			   SVM_INTERCEPT1_RDTSC | SVM_INTERCEPT1_RDPMC | SVM_INTERCEPT1_CPUID |
			   SVM_INTERCEPT1_INVD | SVM_INTERCEPT1_HLT | SVM_INTERCEPT1_INVLPGA |
			   SVM_INTERCEPT1_PORT | SVM_INTERCEPT1_MSR | SVM_INTERCEPT1_SHUTDOWN;
	vmcb->intercept2 = SVM_INTERCEPT2_VMRUN | SVM_INTERCEPT2_VMMCALL | SVM_INTERCEPT2_VMLOAD |
			   SVM_INTERCEPT2_VMSAVE | SVM_INTERCEPT2_STGI | SVM_INTERCEPT2_CLGI |
			   SVM_INTERCEPT2_SKINIT | SVM_INTERCEPT2_RDTSCP | SVM_INTERCEPT2_WBINVD |
			   SVM_INTERCEPT2_MONITOR | SVM_INTERCEPT2_MWAIT | SVM_INTERCEPT2_MWAIT_ARMED |
			   SVM_INTERCEPT2_XSETBV;
}

static int svm_init(struct vcpu *vcpu, uint64_t guest_size)
{
	uint64_t save_area = pages_allocate(1, PAGE_SIZE);
	uint64_t guest = pages_allocate(1, PAGE_SIZE);
	uint64_t host = pages_allocate(1, PAGE_SIZE);

	if (!save_area || !guest || !host)
		return trace_error(-ENOMEM);
	features = cpu_id(CPUID_SVM, 0).edx;
	cpu_write_msr(SVM_MSR_EFER, cpu_read_msr(SVM_MSR_EFER) | SVM_EFER_SVME);
	cpu_write_msr(SVM_MSR_VM_HSAVE_PA, save_area);
	/* A machine check in the guest must reach the server's handler, not shut it down. */
	cpu_write_cr4(cpu_read_cr4() | CR4_MACHINE_CHECK);

	/* What each exit loads: nothing of it changes from here on. */
	__asm__ volatile("vmsave %0" : : "a"(host) : "memory");
	vmcb = pages_pointer(guest);
	run_frame = (struct svm_run){ .gpr = vcpu->state.gpr,
				      .vmcb_physical = guest,
				      .host_vmcb_physical = host,
				      .timer = vcpu->timer };
	set_intercepts();
	vmcb->port_bitmap_physical = svm_port_bitmap_physical();
	vmcb->msr_bitmap_physical = svm_msr_bitmap_physical();
	if (!vmcb->port_bitmap_physical || !vmcb->msr_bitmap_physical)
		return trace_error(-ENOMEM);
	vmcb->asid = GUEST_ASID;
	vmcb->nested_paging = 1;
	vmcb->nested_cr3 = svm_npt_init(guest_size);
	if (!vmcb->nested_cr3)
		return trace_error(-ENOMEM);
	return 0;
}

/* ---- state ---- */

/* VMCB segment attributes are packed; ours have the same form. */
static void segment_save(struct vcpu_segment *to, const struct svm_segment *from)
{
	*to = (struct vcpu_segment){ .base = from->base,
				     .limit = from->limit,
				     .selector = from->selector,
				     .attributes = from->attributes };
}

static void segment_load(struct svm_segment *to, const struct vcpu_segment *from)
{
	*to = (struct svm_segment){ .base = from->base,
				    .limit = from->limit,
				    .selector = from->selector,
				    .attributes = from->attributes };
}

static void svm_save(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	segment_save(&state->segments[VCPU_ES], &vmcb->es);
	segment_save(&state->segments[VCPU_CS], &vmcb->cs);
	segment_save(&state->segments[VCPU_SS], &vmcb->ss);
	segment_save(&state->segments[VCPU_DS], &vmcb->ds);
	segment_save(&state->segments[VCPU_FS], &vmcb->fs);
	segment_save(&state->segments[VCPU_GS], &vmcb->gs);
	segment_save(&state->segments[VCPU_LDTR], &vmcb->ldtr);
	segment_save(&state->segments[VCPU_TR], &vmcb->tr);
	state->gdtr = (struct vcpu_descriptor_table){ .base = vmcb->gdtr.base, .limit = vmcb->gdtr.limit };
	state->idtr = (struct vcpu_descriptor_table){ .base = vmcb->idtr.base, .limit = vmcb->idtr.limit };
	state->cr0 = vmcb->cr0;
	state->cr2 = vmcb->cr2;
	state->cr3 = vmcb->cr3;
	state->cpl = vmcb->cpl;
	state->xcr0 = vcpu_fpu_xcr0();
	state->dr6 = vmcb->dr6;
	state->dr7 = vmcb->dr7;
	state->star = vmcb->star;
	state->lstar = vmcb->lstar;
	state->cstar = vmcb->cstar;
	state->syscall_mask = vmcb->syscall_mask;
	state->kernel_gs_base = vmcb->kernel_gs_base;
	state->sysenter_cs = vmcb->sysenter_cs;
	state->sysenter_esp = vmcb->sysenter_esp;
	state->sysenter_eip = vmcb->sysenter_eip;
}

static void svm_load(struct vcpu *vcpu)
{
	const struct vcpu_state *state = &vcpu->state;

	segment_load(&vmcb->es, &state->segments[VCPU_ES]);
	segment_load(&vmcb->cs, &state->segments[VCPU_CS]);
	segment_load(&vmcb->ss, &state->segments[VCPU_SS]);
	segment_load(&vmcb->ds, &state->segments[VCPU_DS]);
	segment_load(&vmcb->fs, &state->segments[VCPU_FS]);
	segment_load(&vmcb->gs, &state->segments[VCPU_GS]);
	segment_load(&vmcb->ldtr, &state->segments[VCPU_LDTR]);
	segment_load(&vmcb->tr, &state->segments[VCPU_TR]);
	vmcb->gdtr = (struct svm_segment){ .base = state->gdtr.base, .limit = state->gdtr.limit };
	vmcb->idtr = (struct svm_segment){ .base = state->idtr.base, .limit = state->idtr.limit };
	vmcb->cpl = state->cpl;
	vmcb->cr0 = state->cr0;
	vmcb->cr2 = state->cr2;
	vmcb->cr3 = state->cr3;
	vmcb->cr4 = state->cr4 | CR4_MACHINE_CHECK;
	vmcb->efer = state->efer | SVM_EFER_SVME;
	vmcb->dr6 = state->dr6;
	vmcb->dr7 = state->dr7;
	vmcb->star = state->star;
	vmcb->lstar = state->lstar;
	vmcb->cstar = state->cstar;
	vmcb->syscall_mask = state->syscall_mask;
	vmcb->kernel_gs_base = state->kernel_gs_base;
	vmcb->sysenter_cs = state->sysenter_cs;
	vmcb->sysenter_esp = state->sysenter_esp;
	vmcb->sysenter_eip = state->sysenter_eip;
	vmcb->pat = state->pat;
}

static void svm_flush(struct vcpu *vcpu)
{
	(void)vcpu;
	vmcb->tlb_control = features & SVM_FEATURE_FLUSH_BY_ASID ? SVM_TLB_FLUSH_GUEST : SVM_TLB_FLUSH_ALL;
}

static void svm_watch_nmi_return(struct vcpu *vcpu, bool on)
{
	(void)vcpu;
	if (on)
		vmcb->intercept1 |= (uint32_t)SVM_INTERCEPT1_IRET;
	else
		vmcb->intercept1 &= (uint32_t)~SVM_INTERCEPT1_IRET;
}

/* ---- a run ---- */

static ALWAYS_INLINE void enter_guest(struct svm_run *run)
{
	__asm__ volatile("call svm_run"
			 : "+S"(run)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
			   "r15", "memory", "cc");
}

static uint64_t event_word(const struct vcpu_event *event)
{
	static const uint8_t types[] = {
		[VCPU_EVENT_NMI] = SVM_EVENT_NMI,
		[VCPU_EVENT_EXCEPTION] = SVM_EVENT_EXCEPTION,
		[VCPU_EVENT_SOFTWARE_INTERRUPT] = SVM_EVENT_SOFTWARE_INTERRUPT,
	};

	ASSERT(event->kind == VCPU_EVENT_NMI || event->kind == VCPU_EVENT_EXCEPTION ||
	       event->kind == VCPU_EVENT_SOFTWARE_INTERRUPT);
	return SVM_EVENT_VALID | event->vector | (uint64_t)types[event->kind] << SVM_EVENT_TYPE_SHIFT |
	       (event->has_error_code
			? SVM_EVENT_HAS_ERROR | (uint64_t)event->error_code << SVM_EVENT_ERROR_SHIFT
			: 0);
}

static NOINLINE void put_event(struct vcpu_state *state)
{
	/* INT n is given back with RIP at the instruction; delivery pushes the one behind it. */
	state->rip += state->event.instruction_size;
	vmcb->event = event_word(&state->event);
	state->event = (struct vcpu_event){ 0 };
}

/* An interrupt on offer: V_IRQ, and when it cannot be taken yet, an exit where it can. */
static NOINLINE void put_offer(const struct vcpu *vcpu)
{
	vmcb->interrupt |= SVM_INTERRUPT_IRQ | SVM_INTERRUPT_PRIORITY_HIGHEST | SVM_INTERRUPT_IGNORE_TPR |
			   (uint64_t)vcpu->interrupt_vector << SVM_INTERRUPT_VECTOR_SHIFT;
	if (vcpu->window_watched)
		vmcb->intercept1 |= (uint32_t)SVM_INTERCEPT1_WINDOW;
}

static NOINLINE void take_offer_back(struct vcpu *vcpu)
{
	vmcb->intercept1 &= (uint32_t)~SVM_INTERCEPT1_WINDOW;
	if (vcpu->window_watched || (vmcb->interrupt & SVM_INTERRUPT_IRQ))
		return;
	vcpu->interrupt_offered = false;
	vcpu->interrupt_taken = true;
}

static inline void before_run(struct vcpu *vcpu, uint32_t timer_count)
{
	struct vcpu_state *state = &vcpu->state;

	run_frame.timer_count = timer_count;
	vmcb->event = 0;
	if (state->event.kind != VCPU_EVENT_NONE)
		put_event(state);
	vmcb->rip = state->rip;
	vmcb->rsp = state->gpr[VCPU_RSP];
	vmcb->rax = state->gpr[VCPU_RAX];
	vmcb->rflags = state->rflags;
	vmcb->shadow = state->interrupt_shadow; /* 0 or SVM_SHADOW */
	vmcb->interrupt = SVM_INTERRUPT_MASKING | (vcpu->task_priority & SVM_INTERRUPT_TPR_MASK);
	if (vcpu->interrupt_offered)
		put_offer(vcpu);
}

static inline void after_run(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	vmcb->tlb_control = 0;
	state->rip = vmcb->rip;
	state->gpr[VCPU_RSP] = vmcb->rsp;
	state->gpr[VCPU_RAX] = vmcb->rax;
	state->rflags = vmcb->rflags;
	state->segments[VCPU_CS].attributes = vmcb->cs.attributes;
	state->interrupt_shadow = vmcb->shadow & SVM_SHADOW;
	if (vcpu->interrupt_offered)
		take_offer_back(vcpu);
}

/*
 * An event whose delivery the exit interrupted (APM 2, 15.20). An external interrupt
 * was not taken after all: it is offered again. (QEMU tells it as an exception with
 * a vector that no exception has, and leaves V_IRQ set.)
 */
static NOINLINE void recover_event(struct vcpu *vcpu, struct vcpu_exit *exit, uint64_t word)
{
	uint8_t vector = (uint8_t)(word & SVM_EVENT_VECTOR_MASK);
	struct vcpu_event event = { .vector = vector };

	if (exit->kind == VCPU_EXIT_MEMORY)
		exit->memory.is_event_delivery = 1;
	switch (SVM_EVENT_TYPE(word)) {
	case SVM_EVENT_NMI:
		event.kind = VCPU_EVENT_NMI;
		break;
	case SVM_EVENT_EXCEPTION:
		event.kind = vector < 32 ? VCPU_EVENT_EXCEPTION : VCPU_EVENT_INTERRUPT;
		break;
	case SVM_EVENT_SOFTWARE_INTERRUPT:
		event.kind = VCPU_EVENT_SOFTWARE_INTERRUPT;
		event.instruction_size = vector == 3 ? 1 : 2;
		break;
	default:
		event.kind = VCPU_EVENT_INTERRUPT;
		break;
	}
	if (event.kind == VCPU_EVENT_INTERRUPT) {
		vcpu->interrupt_offered = true;
		vcpu->interrupt_taken = false;
		vcpu->interrupt_vector = vector;
		return;
	}
	event.has_error_code = (word & SVM_EVENT_HAS_ERROR) != 0;
	event.error_code = event.has_error_code ? (uint32_t)(word >> SVM_EVENT_ERROR_SHIFT) : 0;
	vcpu->state.event = event;
}

static void svm_vcpu_run(struct vcpu *vcpu, uint32_t timer_count, struct vcpu_exit *exit)
{
	before_run(vcpu, timer_count);
	enter_guest(&run_frame);
	after_run(vcpu);
	vcpu->tsc_entry = run_frame.tsc_entry;
	vcpu->tsc_exit = run_frame.tsc_exit;
	exit->steps = vcpu->counter->ops->retired(vcpu->counter, run_frame.tsc_entry, run_frame.tsc_exit);
	svm_exit_normalise(vcpu, vmcb, exit);
	if (vmcb->exit_event & SVM_EVENT_VALID)
		recover_event(vcpu, exit, vmcb->exit_event);
}

static int svm_map(struct vcpu *vcpu, uint64_t gpa, uint64_t hpa, uint64_t size)
{
	svm_flush(vcpu);
	return svm_npt_map(gpa, hpa, size);
}

static void svm_unmap_all(struct vcpu *vcpu)
{
	svm_flush(vcpu);
	svm_npt_clear();
	svm_exit_forget();
}

static int svm_reserve_tracking(struct vcpu *vcpu, uint64_t size)
{
	(void)vcpu;
	return svm_npt_reserve(size);
}

static void svm_track(struct vcpu *vcpu, bool on)
{
	svm_flush(vcpu);
	svm_npt_track(on);
}

static void svm_take_dirty(struct vcpu *vcpu, uint64_t gpa, uint64_t dirty[VCPU_DIRTY_WORDS])
{
	svm_flush(vcpu);
	svm_npt_take_dirty(gpa, dirty);
}

const struct vcpu_ops svm_vcpu_ops = {
	.name = "svm",
	.unusable = svm_unusable,
	.init = svm_init,
	.map = svm_map,
	.unmap_all = svm_unmap_all,
	.reserve_tracking = svm_reserve_tracking,
	.track = svm_track,
	.take_dirty = svm_take_dirty,
	.run = svm_vcpu_run,
	.save = svm_save,
	.load = svm_load,
	.flush = svm_flush,
	.watch_nmi_return = svm_watch_nmi_return,
};
