//! Operations as candle's custom operations: on the CPU their twins, on a card their kernels.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, InplaceOp2, InplaceOp3, Layout, Result,
    Shape, Storage,
};
use half::{bf16, f16};

use super::operations::Operation;
use super::twins::{Input, in_place};

impl Operation {
    /// Gives what a tensor beside those it is applied to has on the CPU to `act`.
    fn with_beside<R>(
        &self,
        act: impl FnOnce(Option<(&CpuStorage, &Layout)>) -> Result<R>,
    ) -> Result<R> {
        let Some(tensor) = self.beside() else {
            return act(None);
        };
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => act(Some((storage, layout))),
            _ => candle_core::bail!("{}: a tensor is on another device", self.kernel()),
        }
    }

    fn on_cpu(&self, inputs: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;

        let known: Vec<(&Shape, DType)> = inputs
            .iter()
            .map(|(storage, layout)| (layout.shape(), storage.dtype()))
            .collect();
        let (shape, dtype) = self.output(&known);
        let mut out = vec![0.0; shape.elem_count()];
        self.with_beside(|beside| {
            let read: Result<Vec<Input<'_>>> = inputs
                .iter()
                .copied()
                .chain(beside)
                .map(|(storage, layout)| Input::read(storage, layout))
                .collect();
            self.twin(&mut out, &read?)
        })?;
        let out = match dtype {
            DType::BF16 => CpuStorage::BF16(out.into_iter().map(bf16::from_f32).collect()),
            DType::F16 => CpuStorage::F16(out.into_iter().map(f16::from_f32).collect()),
            _ => CpuStorage::F32(out),
        };
        Ok((out, shape))
    }

    fn on_cpu_in_place(
        &self,
        out: &mut CpuStorage,
        layout: &Layout,
        inputs: &[(&CpuStorage, &Layout)],
    ) -> Result<()> {
        self.with_beside(|beside| {
            let read: Result<Vec<Input<'_>>> = inputs
                .iter()
                .copied()
                .chain(beside)
                .map(|(storage, layout)| Input::read(storage, layout))
                .collect();
            in_place(out, layout, |out| self.twin(out, &read?))
        })
    }

    #[cfg(feature = "cuda")]
    fn on_card(
        &self,
        inputs: &[(&candle_core::CudaStorage, &Layout)],
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        super::cuda::launch(self, self.beside(), inputs)
    }

    #[cfg(feature = "cuda")]
    fn on_card_in_place(
        &self,
        out: &mut candle_core::CudaStorage,
        layout: &Layout,
        inputs: &[(&candle_core::CudaStorage, &Layout)],
    ) -> Result<()> {
        super::cuda::launch_in_place(self, self.beside(), (out, layout), inputs)
    }
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(s1, l1)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.on_card(&[(s1, l1)])
    }
}

impl CustomOp2 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(s1, l1), (s2, l2)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.on_card(&[(s1, l1), (s2, l2)])
    }
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(s1, l1), (s2, l2), (s3, l3)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
        s3: &candle_core::CudaStorage,
        l3: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.on_card(&[(s1, l1), (s2, l2), (s3, l3)])
    }
}

impl InplaceOp2 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<()> {
        self.on_cpu_in_place(s1, l1, &[(s2, l2)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &mut candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
    ) -> Result<()> {
        self.on_card_in_place(s1, l1, &[(s2, l2)])
    }
}

impl InplaceOp3 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<()> {
        self.on_cpu_in_place(s1, l1, &[(s2, l2), (s3, l3)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &mut candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
        s3: &candle_core::CudaStorage,
        l3: &Layout,
    ) -> Result<()> {
        self.on_card_in_place(s1, l1, &[(s2, l2), (s3, l3)])
    }
}
